"""A request's model is prepared for each kind of plan; what will suffer is told before anything is built."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from host.graph.layouts import HEADS
from host.graph.prepare import PASSES
from host.plan import Preparation, preparation
from host.sources.onnx.model import load
from host.steps import models as prepared_models
from host.steps.models import Model
from shared import chips
from shared.faults import Fault
from tests import models

CHIPS = list(chips.chips().values())


def made(proto: onnx.ModelProto, folder: Path, wanted: Preparation, chip: str = "rk3588") -> Model:
    toolkit = chips.chip(chip).toolkit
    source = load(models.save(proto, folder / "source.onnx"), toolkit)
    return prepared_models.make(source, wanted, toolkit, folder / "model")


def for_chip(name: str, dtype: str = "int8", head: str = "auto") -> Preparation:
    chip = chips.chip(name)
    return preparation(chip, chips.dtype(chip, dtype), head)


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: str(chip.name))
def test_quirks_of_the_table_are_passes(chip: chips.Chip) -> None:
    assert set(chip.quirks) <= set(PASSES)
    assert chip.longest_row >= 0


def test_model_in_its_folder_is_the_prepared_one(tmp_path: Path) -> None:
    model = made(models.conv(), tmp_path, for_chip("rk3588"))
    assert [path.name for path in model.folder.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(onnx.load(model.file))
    facts = json.loads(json.dumps(model.to_json()))
    assert facts["outputs"] == [{"name": "y", "shape": [1, 8, 32, 32]}]
    assert (facts["head"], facts["family"], facts["changes"]) == ("raw", "unknown", [])
    (tmp_path / "again").mkdir()
    assert made(models.conv(), tmp_path / "again", for_chip("rk3588")).sha256 == model.sha256


@pytest.mark.parametrize(("chip", "rank"), [("rv1106", 4), ("rv1103", 4), ("rv1106b", 4), ("rk3588", 3)])
def test_chips_get_their_passes(tmp_path: Path, chip: str, rank: int) -> None:
    model = made(models.distances_head(), tmp_path, for_chip(chip), chip)
    (output,) = model.to_json()["outputs"]
    assert len(output["shape"]) == rank
    assert any("four dimensions" in change.what for change in model.changes) == (rank == 4)


@pytest.mark.parametrize(("dtype", "told"), [("int8", True), ("fp16", False)])
def test_mixed_ranges_are_told_before_the_build(tmp_path: Path, dtype: str, told: bool) -> None:
    model = made(models.boxes_and_scores(), tmp_path, for_chip("rk3588", dtype, "raw"))
    assert any("'y' mixes ranges" in line and "--outputs" in line for line in model.warnings) == told


@pytest.mark.parametrize(
    ("side", "chip", "told"), [(88, "rv1106", False), (92, "rv1106", True), (92, "rk3588", False)]
)
def test_long_rows_are_told_where_the_chip_has_a_limit(
    tmp_path: Path, side: int, chip: str, told: bool
) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        make_node("Reshape", ["c", "flat"], ["y"]),
    ]
    weights = {"w": np.ones((4, 3, 1, 1), np.float32), "flat": np.array([1, 4, -1])}
    proto = models.model(nodes, (1, 4, side * side), weights, (1, 3, side, side))
    warnings = made(proto, tmp_path, for_chip(chip), chip).warnings
    assert any(f"{side * side} values in a row" in line for line in warnings) == told


def test_operators_that_remain_must_be_convertible(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="Acos") as caught:
        made(models.operator("Acos"), tmp_path, for_chip("rk3588"))
    assert caught.value.code == "model-op"


@pytest.mark.parametrize("head", [head for head in HEADS if head not in ("auto", "raw")])
def test_layout_of_an_unknown_head_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(Fault) as caught:
        made(models.conv(), tmp_path, for_chip("rk3588", head=head))
    assert (caught.value.code, caught.value.exit_status) == ("head-unknown", 2)
