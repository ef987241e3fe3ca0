"""Converts as `invoke convert` does, and runs the result on any inputs instead of a few held-out ones."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host import jobs, plan, running
from host.engines.local import LocalEngine
from host.engines.protocol import Limits
from host.graph.request import Prepared
from host.settings import Settings
from host.sources.onnx import model as onnx_model
from host.sources.recognition.recognise import recognise
from host.steps import models, staging
from shared import chips
from shared.faults import Fault


def simulate(settings: Settings, images: NDArray[np.uint8]) -> tuple[Prepared, list[NDArray[Any]]]:
    """Convert for the one chip of `settings` and run the result in the vendor's simulator.

    Args:
        settings: as validated by `config.resolve`.
        images: [N, height, width, channels] of the model's input size.

    Returns:
        What was converted, and every output's N answers stacked.

    Raises:
        Fault: as a conversion does.
    """
    engine = LocalEngine()
    (each,) = plan.make(settings, recognise(settings.models), engine.default_python)
    toolkit = chips.toolkit(each.environment.toolkit)
    if not engine.ready(each.environment):
        engine.build(each.environment, print)
    with tempfile.TemporaryDirectory(prefix="rkforge-simulate-") as temporary:
        folder = Path(temporary)
        inputs = folder / "inputs"
        inputs.mkdir()
        source = onnx_model.load(settings.model, toolkit, settings.size)
        staged = staging.stage(settings, source, each.quantize, toolkit, inputs)
        model = models.make(source, each.preparation, toolkit, folder / "model")
        np.save(inputs / Path(staged.heldout[0]).name, images)
        job = running.job(settings, each, staged, model)._replace(memory_bytes=0)
        jobs.place(folder / "job", job, inputs, model.folder)
        with engine.start(each.environment, folder, ["job"], Limits(1, 0)) as harness:
            while harness.alive():
                time.sleep(0.1)
            ended = harness.failure()
        result = jobs.result(folder / "job", ended)
        if isinstance(result, Fault):
            raise result
        assert model.prepared is not None
        return model.prepared, [np.load(folder / "job" / "out" / name) for name in result.simulated]
