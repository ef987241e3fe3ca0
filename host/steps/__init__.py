"""The steps of a conversion: data in, data or files out. None prints, none starts an environment."""
