"""Turns a photo of any size into the array a model with an image input sees: upright, 8 bits, its size.

An exported model takes one size; the vendor's reader stretches whatever it is given to it and says nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from shared.text import one_line

PAD = 114
"""Grey of the letterbox's bars, as detectors are trained with."""

_MODES = {1: "L", 3: "RGB"}
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L")


class ImageSize(NamedTuple):
    """Pixels and channels (1: grey, 3: red, green, blue) of an image input."""

    width: int
    height: int
    channels: int


def image_size(shape: tuple[int, ...], channels_last: bool = False) -> ImageSize | None:
    """The size of an image input (1, 1 or 3, height, width); None for an input that takes no images."""
    match channels_first(shape) if channels_last else shape:
        case (1, (1 | 3) as channels, height, width):
            return ImageSize(width, height, channels)
    return None


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a batch of images with its channels moved behind the batch; any other as it is."""
    if len(shape) != 4:
        return shape
    batch, height, width, channels = shape
    return batch, channels, height, width


def letterbox(image: Image.Image, size: ImageSize) -> Image.Image:
    """The whole image, its proportions kept, centred between grey bars."""
    grey = (PAD,) * size.channels
    return ImageOps.pad(image, (size.width, size.height), Image.Resampling.BILINEAR, color=grey)


def stretch(image: Image.Image, size: ImageSize) -> Image.Image:
    """The whole image, its proportions given up."""
    return image.resize((size.width, size.height), Image.Resampling.BILINEAR)


def crop(image: Image.Image, size: ImageSize) -> Image.Image:
    """The largest centred part that has the input's proportions."""
    return ImageOps.fit(image, (size.width, size.height), Image.Resampling.BILINEAR)


RESIZES: dict[str, Callable[[Image.Image, ImageSize], Image.Image]] = {
    "letterbox": letterbox,
    "stretch": stretch,
    "crop": crop,
}


def read_image(path: Path, size: ImageSize, resize: str) -> NDArray[np.uint8]:
    """Decode, turn upright (EXIF) and resize an image.

    Returns:
        uint8, shape (height, width, channels), RGB order; transparency is dropped.

    Raises:
        ValueError: the file is no image that can be used; the text is the reason.
    """
    try:
        with Image.open(path) as file:
            if file.mode in _WIDE_MODES:
                raise ValueError("more than 8 bits per channel")
            # a JPEG decodes to a fraction of its size for less; twice the input's keeps the detail
            file.draft(None, (2 * max(size.width, size.height),) * 2)
            image = ImageOps.exif_transpose(file).convert(_MODES[size.channels])
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise ValueError(_reason(error)) from error
    array = np.asarray(RESIZES[resize](image, size))
    return array.reshape(size.height, size.width, size.channels)


def check_header(path: Path) -> None:
    """A quick look that tells other files from images, for those that will not be decoded.

    Raises:
        ValueError: as `read_image`.
    """
    try:
        with Image.open(path) as file:
            file.verify()
    except Exception as error:  # as above
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return one_line(error) or type(error).__name__
