"""What files are, from their content: which format, and which of them belong together."""
