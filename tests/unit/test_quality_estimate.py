"""The estimate rounds as the toolkit's documentation says: by layer, 8 bits, unsigned, asymmetric."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.helper import make_node

from host.graph.channels import channel_layouts
from host.quality import estimate
from host.quality.compare import compare
from host.quality.reference import reference_outputs
from tests import models
from tests.conftest import ROOT

IMAGES = np.random.default_rng(0).random((6, 1, 3, models.SIDE, models.SIDE), np.float32)


def staged(folder: Path, proto: ModelProto, calibration: int = 4) -> Path:
    """A folder as `estimate` takes it."""
    onnx.save(proto, folder / estimate.MODEL)
    estimate.write(folder / estimate.CALIBRATION, [IMAGES[:calibration]])
    estimate.write(folder / estimate.INPUTS, [IMAGES[calibration:]])
    return folder


def answers(folder: Path, proto: ModelProto) -> list[NDArray[np.float32]]:
    estimate.estimate(staged(folder, proto))
    return estimate.read(folder / estimate.OUTPUTS)


def expected(proto: ModelProto) -> dict[str, NDArray[np.float32]]:
    return reference_outputs(proto, {"x": IMAGES[4:]})


def test_values_are_near_the_models_and_at_most_256(tmp_path: Path) -> None:
    proto = models.conv()
    (values,) = answers(tmp_path, proto)
    (reference,) = expected(proto).values()
    assert values.shape == reference.shape
    assert 20 < len(np.unique(values)) <= 256
    assert 0 < np.abs(values - reference).max() < 0.05 * np.ptp(reference)


def test_half_precision_is_estimated_too(tmp_path: Path) -> None:
    proto = models.half(models.conv())
    ((values,), (reference,)) = answers(tmp_path, proto), expected(proto).values()
    assert len(np.unique(values)) <= 256
    assert 0 < np.abs(values - reference).max() < 0.05 * np.ptp(reference)


def test_a_layer_has_one_scale_for_all_its_weights(tmp_path: Path) -> None:
    """Channels with weights a thousandth of the others' are lost, as in a toolkit that scales by layer."""
    proto = models.conv(channels=4)
    weights = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weights[2:] /= 1000
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    (values,) = answers(tmp_path, proto)
    (reference,) = expected(proto).values()
    assert np.ptp(reference[:, :, 2:]) > 0
    assert np.ptp(values[:, :, 2:]) == 0 < np.ptp(values[:, :, :2])


def test_head_that_mixes_pixels_and_scores_is_dead(tmp_path: Path) -> None:
    proto = models.boxes_and_scores()
    checks = compare(answers(tmp_path, proto), expected(proto), channel_layouts(proto), 8)
    (output,) = checks.outputs
    assert checks.verdict == "dead"
    assert [(group.start, group.stop) for group in output.dead_groups] == [(4, 12)]


def test_head_in_two_outputs_is_alive(tmp_path: Path) -> None:
    proto = models.boxes_and_scores()
    concat = next(node for node in proto.graph.node if node.op_type == "Concat")
    proto.graph.node.remove(concat)
    del proto.graph.output[:]
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, size, models.SIDE, models.SIDE))
        for name, size in (("box", 4), ("f", 8))
    )
    checks = compare(answers(tmp_path, proto), expected(proto), channel_layouts(proto), 8)
    assert checks.verdict == "ok"


@pytest.mark.parametrize("opset", [9, 11])
def test_numbers_that_are_no_data_stay_exact(opset: int, tmp_path: Path) -> None:
    """Scales of an Upsample, and those of a Resize computed from a shape in float."""
    weights = {"w": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "by": np.array([1, 1, 2, 7], np.float32)}
    nodes = [make_node("Conv", ["x", "w"], ["c"])]
    if opset == 9:
        nodes += [make_node("Upsample", ["c", "by"], ["y"])]
    else:
        weights["none"] = np.array([], np.float32)
        nodes += [
            make_node("Shape", ["c"], ["shape"]),
            make_node("Cast", ["shape"], ["lengths"], to=onnx.TensorProto.FLOAT),
            make_node("Mul", ["lengths", "by"], ["larger"]),
            make_node("Div", ["larger", "lengths"], ["scales"]),
            make_node("Resize", ["c", "none", "scales"], ["y"]),
        ]
    proto = models.model(nodes, (1, 3, 2 * models.SIDE, 7 * models.SIDE), weights, opset=opset)
    (values,) = answers(tmp_path, proto)
    assert values.shape == (2, 1, 3, 2 * models.SIDE, 7 * models.SIDE)
    np.testing.assert_allclose(values, IMAGES[4:].repeat(7, -1).repeat(2, -2), atol=1.5 / 255)


def test_failure_is_one_line_on_stderr(tmp_path: Path) -> None:
    staged(tmp_path, models.conv())
    (tmp_path / estimate.MODEL).write_bytes(b"no model")
    command = [sys.executable, "-m", estimate.__name__, str(tmp_path), str(4 << 30)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "folder" not in done.stderr and "Traceback" not in done.stderr


def test_nothing_is_said_where_all_is_well(tmp_path: Path) -> None:
    staged(tmp_path, models.boxes_and_scores())
    command = [sys.executable, "-m", estimate.__name__, str(tmp_path), str(4 << 30)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
