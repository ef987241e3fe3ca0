"""Models that a toolkit's own loader reads: their inputs and outputs, and the parts asked for."""
