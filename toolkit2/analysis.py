"""The toolkit's own error analysis: how far each layer is from the float model, on one held-out input."""

import os
import shutil
import tempfile
from typing import Any

import numpy

from shared.contract import Job
from toolkit2 import heldout

REPORT = "error_analysis.txt"
DOCUMENT = "analysis.txt"


def analyse(rknn: Any, job: Job, directory: str) -> list[str]:
    """Leave the analysis of a built model in `directory`; its file name, in a list.

    Every tensor is dumped on the way, often many times the model's size: beside the job, not in /tmp.
    """
    if not job.heldout:
        raise RuntimeError("there is no held-out input to analyse")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        inputs = [os.path.join(folder, f"input.{number}.npy") for number in range(len(job.heldout))]
        for array, path in zip(heldout.read(job), inputs, strict=True):
            numpy.save(path, _sample(array))
        code = rknn.accuracy_analysis(inputs=inputs, output_dir=os.path.join(folder, "snapshot"))
        if code != 0:
            raise RuntimeError(f"accuracy_analysis returned {code}")
        shutil.move(os.path.join(folder, "snapshot", REPORT), os.path.join(directory, DOCUMENT))
    return [DOCUMENT]


def _sample(array: Any) -> Any:
    """The first sample, channels first with its batch: (1, channels, height, width) for images."""
    return array[:1].transpose(0, 3, 1, 2) if heldout.is_image(array) else array[0]
