"""Runs a built model on the held-out inputs, in the toolkit's simulator of the chip."""

from typing import Any

from shared.contract import Job
from toolkit2 import heldout
from toolkit2.loaders import CHANNELS_LAST


def simulate(rknn: Any, job: Job, directory: str) -> list[str]:
    """Leave one .npy per output in `directory`, shape (images, *output shape); their names."""
    code = rknn.init_runtime()
    if code != 0:
        raise RuntimeError(f"init_runtime returned {code}")
    arrays = heldout.read(job)
    last = job.source.format in CHANNELS_LAST
    layouts = ["nhwc" if last or heldout.is_image(array) else "nchw" for array in arrays]
    runs = [rknn.inference(inputs=sample, data_format=layouts) for sample in heldout.samples(arrays)]
    return heldout.save(runs, "simulated", directory)
