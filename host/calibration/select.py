"""Which images calibrate and which are kept back to check the result: a fixed choice, without chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = 4
"""Images for the check of the result; at most one in five is taken from the calibration for it."""


@dataclass(frozen=True)
class Selection:
    """What becomes of each image of a dataset."""

    calibration: tuple[Path, ...]
    held_out: tuple[Path, ...]
    dropped: tuple[Path, ...]
    reused_held_out: bool
    """Whether the held-out images also calibrate: there were too few to keep some apart."""


def select(images: Sequence[Path], count: int) -> Selection:
    """Choose evenly spaced images, first those to hold out, then at most `count` others to calibrate with.

    Args:
        images: at least one, in the dataset's order.
        count: at least 1; see `memory.image_count`.
    """
    spare = min(HELD_OUT, len(images) // 5)
    if not spare:
        calibration = spaced(images, count)
        held_out = spaced(calibration, HELD_OUT)
    else:
        held_out = spaced(images, spare)
        calibration = spaced([image for image in images if image not in set(held_out)], count)
    used = {*calibration, *held_out}
    dropped = tuple(image for image in images if image not in used)
    return Selection(calibration, held_out, dropped, reused_held_out=not spare)


def spaced(images: Sequence[Path], count: int) -> tuple[Path, ...]:
    """`count` of the images, or all if there are fewer, at even distances and away from both ends."""
    if count >= len(images):
        return tuple(images)
    return tuple(images[(2 * index + 1) * len(images) // (2 * count)] for index in range(count))
