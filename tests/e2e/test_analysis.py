"""The real toolkit2's own error analysis, asked for in a job."""

from pathlib import Path

import numpy as np
import pytest

from host import jobs
from host.calibration import staging
from host.engines.local import LocalEngine
from host.engines.protocol import Limits
from host.plan import environment_of
from host.sources.onnx import model as onnx_model
from shared import chips, contract
from shared.contract import Job, Result, Source
from tests import models

TOOLKIT = chips.toolkit("toolkit2")
DOCUMENT = "analysis.txt"

pytestmark = pytest.mark.toolkit


def job(quantize: bool, analysis: bool) -> Job:
    return Job(
        contract=contract.CONTRACT,
        chip="rk3588",
        toolkit_version=TOOLKIT.versions[0],
        source=Source("onnx", {"model": "in/model.onnx"}, [], [], []),
        config={"target_platform": "rk3588", "mean_values": [[0] * 3], "std_values": [[255] * 3]},
        quantize=quantize,
        dataset=f"in/{staging.LIST}" if quantize else None,
        heldout=["in/heldout.0.npy"],
        hybrid=None,
        analysis=analysis,
        artifact=TOOLKIT.artifact,
        timeout_s=300,
        memory_bytes=0,
    )


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with a job for each of int8 and fp16, with analysis and without, all run."""
    folder = tmp_path_factory.mktemp("batch")
    inputs = folder / "inputs"
    inputs.mkdir()
    models.save(models.conv(), inputs / "model.onnx")
    source = onnx_model.load(inputs / "model.onnx", TOOLKIT)
    staging.stage_noise(source.inputs, inputs, TOOLKIT.calibration)
    placed = {name(quantize, analysis): (quantize, analysis) for quantize in (0, 1) for analysis in (0, 1)}
    for directory, (quantize, analysis) in placed.items():
        jobs.place(folder / directory, job(bool(quantize), bool(analysis)), inputs)
    engine = LocalEngine()
    environment = environment_of(TOOLKIT, engine.default_python)
    engine.build(environment, print)
    with engine.start(environment, folder, list(placed), Limits(1, 0)) as running:
        assert jobs.follow(running, [folder / each for each in placed], lambda *_: None, 600) is None
    return folder


def name(quantize: int, analysis: int) -> str:
    return f"quantize-{quantize}-analysis-{analysis}"


def result(batch: Path, quantize: int, analysis: int) -> Result:
    return contract.read_result(str(batch / name(quantize, analysis) / "result.json"))


@pytest.mark.parametrize("quantize", [0, 1])
def test_analysis_names_every_layer_and_its_error(batch: Path, quantize: int) -> None:
    made = result(batch, quantize, 1)
    assert made.fault is None
    assert made.documents == [DOCUMENT]
    assert result(batch, quantize, 0).documents == []
    out = batch / name(quantize, 1) / "out"
    rows = [line.split() for line in (out / DOCUMENT).read_text().splitlines() if line.startswith("[")]
    cosines = {layer: [float(number) for number in numbers[:1]] for _, layer, *numbers in rows}
    assert 0.99 < cosines["y"][0] <= 1
    assert ("x_int8" in cosines) is bool(quantize)


@pytest.mark.parametrize("quantize", [0, 1])
def test_analysis_changes_nothing_but_that(batch: Path, quantize: int) -> None:
    plain, analysed = (result(batch, quantize, analysis) for analysis in (0, 1))
    assert plain.artifact is not None and analysed.artifact is not None
    assert plain.artifact.canonical_digest == analysed.artifact.canonical_digest is not None
    answers = [
        np.load(batch / name(quantize, analysis) / "out" / made.simulated[0])
        for analysis, made in enumerate((plain, analysed))
    ]
    assert np.array_equal(*answers)
    job_files = {path.name for path in (batch / name(quantize, 1)).iterdir()}
    assert job_files == {path.name for path in (batch / name(quantize, 0)).iterdir()}
