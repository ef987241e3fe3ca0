"""Inputs for when there is no dataset: seeded noise, the same on every machine.

It lets an int8 conversion finish and a result be compared with its source; ranges measured on it are
not those of real images, so whoever uses it for calibration warns loudly.
"""

import numpy as np
from numpy.typing import NDArray

CALIBRATION = 8
HELD_OUT = 4
SEED = 0


def noise_images(count: int, height: int, width: int, channels: int, seed: int = SEED) -> NDArray[np.uint8]:
    """Uniform noise, shape (count, height, width, channels)."""
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def noise_arrays(count: int, shape: tuple[int, ...], dtype: str, seed: int = SEED) -> NDArray[np.generic]:
    """Standard normal noise for inputs that are no images, shape (count, *shape).

    Integer inputs are mostly indices: they get 0 and 1, which nearly every table has.
    """
    rng = np.random.default_rng(seed)
    if np.issubdtype(np.dtype(dtype), np.floating):
        return rng.standard_normal((count, *shape), dtype=np.float32)
    return rng.integers(0, 2, (count, *shape)).astype(dtype)
