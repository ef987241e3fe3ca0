"""The rknn-toolkit2 environment: one recipe for the image and for the local virtual environment."""
