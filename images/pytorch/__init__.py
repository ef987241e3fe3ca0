"""PyTorch for the environments that share it: where it comes from and what of it stays."""
