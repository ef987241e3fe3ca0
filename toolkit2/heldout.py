"""The inputs that calibration did not see, as the simulator and the source's own framework take them."""

import os
from collections.abc import Iterator
from typing import Any

import numpy

from shared.contract import Job


def read(job: Job) -> list[Any]:
    """One array per model input, stacked: uint8 (n, height, width, channels) for images, else (n, *shape).

    Images are as programs feed them: blue first where the model takes them so, for a .rknn swaps nothing.
    """
    arrays = [numpy.load(path) for path in job.heldout]
    blue_first = job.config.get("quant_img_RGB2BGR") or [False] * len(arrays)
    return [
        array[..., ::-1] if blue and is_image(array) else array
        for array, blue in zip(arrays, blue_first, strict=True)
    ]


def is_image(array: Any) -> bool:
    """Whether the array of an input holds images."""
    return bool(array.dtype == numpy.uint8)


def samples(arrays: list[Any]) -> Iterator[list[Any]]:
    """One sample after the other, an array with its batch of 1 for each input."""
    for number in range(len(arrays[0])):
        yield [array[number : number + 1] if is_image(array) else array[number] for array in arrays]


def normalised(sample: Any, job: Job, number: int) -> Any:
    """What the network itself sees of the pixels of input `number`: (pixel - mean) / std, channels last."""
    mean, std = (numpy.float32(job.config[key][number]) for key in ("mean_values", "std_values"))
    return (sample - mean) / std


def save(runs: list[list[Any]], name: str, directory: str) -> list[str]:
    """Write the outputs of several runs, those of the N-th output stacked in `name`.N.npy; the names."""
    names = []
    for number, outputs in enumerate(zip(*runs, strict=True)):
        names.append(f"{name}.{number}.npy")
        numpy.save(os.path.join(directory, names[-1]), numpy.stack(outputs))
    return names
