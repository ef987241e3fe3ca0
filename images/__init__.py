"""Recipes of the environments that the toolkits run in: one folder per image."""
