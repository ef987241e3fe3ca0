"""The environments of frameworks: one recipe for the images and for the local virtual environments."""
