"""The reference is the float model on exactly the pixels that the chip will see."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from host.quality.reference import normalise, reference_outputs
from shared.faults import Fault
from tests.conftest import ROOT


def model() -> ModelProto:
    """The image's mean per channel, and an integer input passed on."""
    graph = make_graph(
        [
            make_node("GlobalAveragePool", ["image"], ["mean"]),
            make_node("Identity", ["index"], ["same"]),
        ],
        "g",
        [
            make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 4, 5)),
            make_tensor_value_info("index", TensorProto.INT64, (2,)),
        ],
        [
            make_tensor_value_info("mean", TensorProto.FLOAT, (1, 3, 1, 1)),
            make_tensor_value_info("same", TensorProto.INT64, (2,)),
        ],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def test_normalise_is_per_channel_and_moves_channels_first() -> None:
    images = np.zeros((2, 4, 5, 3), np.uint8)
    images[1] = (10, 20, 250)
    array = normalise(images, (10, 0, 50), (1, 2, 100))
    assert array.shape == (2, 3, 4, 5) and array.dtype == np.float32
    np.testing.assert_array_equal(array[1, :, 0, 0], [0, 10, 2])
    np.testing.assert_array_equal(array[0, :, 3, 4], [-10, 0, -0.5])


def test_items_run_one_by_one_in_graph_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    index = np.arange(6).reshape(3, 2)
    outputs = reference_outputs(model(), {"index": index, "image": normalise(images, [0] * 3, [255] * 3)})
    assert list(outputs) == ["mean", "same"]
    assert outputs["mean"].shape == (3, 1, 3, 1, 1)
    np.testing.assert_allclose(outputs["mean"][:, 0, :, 0, 0], images.mean((1, 2)) / 255, rtol=1e-5)
    np.testing.assert_array_equal(outputs["same"], index)


def test_item_of_another_size_is_a_fault() -> None:
    image, index = np.zeros((1, 3, 4, 6), np.float32), np.zeros((1, 2), np.int64)
    with pytest.raises(Fault, match=r"\[1, 3, 4, 5\].*\[3, 4, 6\]") as caught:
        reference_outputs(model(), {"image": image, "index": index})
    assert caught.value.code == "model-shape"


def test_no_telemetry_is_kept_or_sent(tmp_path: Path) -> None:
    """ONNX Runtime would note a device id, and what it was asked to run, below the user's home."""
    code = "from host.sources.onnx.trial import session; from tests import models; "
    code += "session(models.conv().SerializeToString())"
    home = {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PATH": os.environ["PATH"],
    }  # CI=true turns it off
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=home, check=True)
    assert not [*tmp_path.iterdir()]
