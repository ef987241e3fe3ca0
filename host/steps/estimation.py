"""Has `host/quality/estimate.py` estimate a result, in a process that cannot harm the conversion."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from host import paths
from host.calibration.staging import read_back
from host.quality import estimate
from host.settings import Settings
from host.steps.judgement import fed, held_out
from host.steps.staging import Staged
from shared.chips import Toolkit

OF_MEMORY = "MemoryError|alloc|thread"
"""What Python, C++, numpy and ONNX Runtime say where memory ends; a stack of a thread is memory, too."""


class NotEstimated(Exception):
    """There is no estimate; the text is the cause."""


def outputs(
    settings: Settings, staged: Staged, model: Path, folder: Path, toolkit: Toolkit
) -> list[NDArray[Any]]:
    """Every output's estimated answers to the held-out inputs, stacked: [samples, *output shape].

    Args:
        settings: the memory and the time that a job has bound those of the estimate.
        staged: of the request.
        model: the prepared one.
        folder: where the staged files lie.
        toolkit: which they were staged for.

    Raises:
        NotEstimated: ONNX Runtime cannot quantize or run the graph, or not within the bounds.
    """
    calibration = folder / Path(staged.dataset).name
    samples = read_back(calibration, staged.source.inputs, toolkit.calibration, estimate.SAMPLES)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / estimate.MODEL).write_bytes(model.read_bytes())
        estimate.write(place / estimate.CALIBRATION, fed(staged, samples))
        estimate.write(place / estimate.INPUTS, held_out(staged, folder))
        command = [sys.executable, "-m", estimate.__name__, scratch, str(settings.memory_bytes)]
        try:
            done = subprocess.run(
                command,
                cwd=paths.ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=settings.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotEstimated(f"it takes longer than {settings.timeout_s:g} s") from None
        if done.returncode:
            cause = next(reversed(done.stderr.split("\n")[:-1]), f"it ended with status {done.returncode}")
            short = done.returncode < 0 or re.search(OF_MEMORY, cause)
            bound = f" (with {settings.memory_bytes >> 20} MiB of memory)" if short else ""
            raise NotEstimated(cause + bound)
        return estimate.read(place / estimate.OUTPUTS)
