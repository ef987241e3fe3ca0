"""What the source's own framework computes from the held-out inputs: what the result is measured by.

The outputs are those of the exported file, in the simulator's shapes. Images, and arrays like them, are
normalised first, as the converted model does by itself; networks of integers get and give their bytes, as in
the simulator.
"""

import os
from typing import Any

import numpy

from shared import rknn_file
from shared.contract import Job
from toolkit2 import heldout
from toolkit2.frameworks import FRAMEWORKS, Network


def compute(job: Job, directory: str, simulated: list[str]) -> list[str]:
    """Leave one .npy per output in `directory`, shaped as `simulated`; their names.

    There are none for a format that the host itself can run. Whatever a framework raises comes through.
    """
    if job.source.format not in FRAMEWORKS:
        return []
    exported = rknn_file.read(os.path.join(directory, job.artifact))
    network = FRAMEWORKS[job.source.format](job.source, [tensor.name for tensor in exported.outputs])
    runs = [network.run(_fed(job, network, sample)) for sample in heldout.samples(heldout.read(job))]
    shapes = [numpy.load(os.path.join(directory, name), mmap_mode="r").shape[1:] for name in simulated]
    shaped = [
        [numpy.reshape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]
        for outputs in runs
    ]
    return heldout.save(shaped, "reference", directory)


def _fed(job: Job, network: Network, sample: list[Any]) -> list[Any]:
    return [
        _as_asked(array, job, number, numpy.dtype(dtype), network.channels_last)
        for number, (array, dtype) in enumerate(zip(sample, network.dtypes, strict=True))
    ]


def _as_asked(array: Any, job: Job, number: int, dtype: Any, channels_last: bool) -> Any:
    image = heldout.is_image(array)
    alike = array.ndim == 4 and "mean_values" in job.config  # by 0 and 1 where nothing is to be normalised
    normal = dtype.kind == "f" and (image or alike)
    if image or normal:
        pixels = array if image or channels_last else array.transpose(0, 2, 3, 1)
        if normal:
            pixels = heldout.normalised(pixels, job, number)
        array = pixels if channels_last else pixels.transpose(0, 3, 1, 2)
    # an image for int8 is in memory as it is for uint8: the simulator does not convert it either
    same = array.view(dtype) if (array.dtype, dtype) == (numpy.uint8, numpy.int8) else array.astype(dtype)
    return numpy.ascontiguousarray(same)
