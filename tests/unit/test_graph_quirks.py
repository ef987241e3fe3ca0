"""Passes for chips' quirks: what they change in the graph, and that it computes the same."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node, make_tensor_value_info

from host.decoding.contract import Decode, Output
from host.graph.passes.one_transpose_dfl import one_transpose_dfl
from host.graph.passes.outputs_4d import outputs_4d
from host.graph.passes.simplify import simplify
from host.graph.request import Graph, Pass, Request
from host.sources.onnx.interface import static_shape
from host.sources.onnx.trial import random_inputs, run
from shared.faults import Fault
from tests import models

REQUEST = Request(head="raw", activation_bits=8)
BINS, CELLS = 16, 20


def graph(proto: ModelProto) -> Graph:
    outputs = tuple(Output(value.name, static_shape(value)) for value in proto.graph.output)
    return Graph(proto, Decode("unknown", "unknown", "raw", outputs))


def dfl(opset: int, between: tuple[NodeProto, ...] = ()) -> ModelProto:
    """Bins of a head at opset 12: [1, 64, N] -> distances [1, 4, N], and other outputs `between`."""
    nodes = [
        make_node("Reshape", ["x", "split"], ["sides"]),
        make_node("Transpose", ["sides"], ["last"], perm=[0, 3, 1, 2]),
        make_node("Softmax", ["last"], ["shares"], axis=3),
        make_node("Transpose", ["shares"], ["first"], perm=[0, 3, 2, 1]),
        make_node("Conv", ["first", "bins"], ["expected"]),
        make_node("Reshape", ["expected", "joined"], ["y"]),
        *between,
    ]
    weights = {
        "split": np.array([1, 4, BINS, CELLS]),
        "bins": np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1),
        "joined": np.array([1, 4, CELLS]),
    }
    proto = models.model(nodes, (1, 4, CELLS), weights, (1, 4 * BINS, CELLS), opset)
    for node in between:
        proto.graph.output.append(make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
    return proto


def changed(step: Pass, proto: ModelProto) -> tuple[Graph, str]:
    """What a pass makes of a model, known to compute the same and to leave its source alone."""
    before = proto.SerializeToString()
    result = step(graph(proto), REQUEST)
    assert result is not None
    assert proto.SerializeToString() == before
    onnx.checker.check_model(result[0].proto)
    inputs = random_inputs(proto)
    for expected, found in zip(run(proto, inputs), run(result[0].proto, inputs), strict=True):
        np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=0, atol=1e-6)
    return result


def operators(proto: ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize("opset", [11, 12, 13, 19])
def test_two_transposes_around_the_softmax_become_one(opset: int) -> None:
    made, what = changed(one_transpose_dfl, dfl(opset))
    assert operators(made.proto).count("Transpose") == 1
    (softmax,) = (node for node in made.proto.graph.node if node.op_type == "Softmax")
    assert [attribute.i for attribute in softmax.attribute if attribute.name == "axis"] == [1]
    assert "1 Softmax" in what
    assert ("opset raised to 13" in what) == (opset < 13)


def test_transposes_that_undo_each_other_go() -> None:
    nodes = [
        make_node("Transpose", ["x"], ["last"], perm=[0, 2, 3, 1]),
        make_node("Softmax", ["last"], ["shares"], axis=3),
        make_node("Transpose", ["shares"], ["y"], perm=[0, 3, 1, 2]),
    ]
    made, _ = changed(one_transpose_dfl, models.model(nodes, (1, 3, 32, 32), opset=12))
    assert operators(made.proto) == ["Softmax"]


def test_model_keeps_what_it_says_about_itself_when_its_opset_is_raised() -> None:
    proto = dfl(12)
    onnx.helper.set_model_props(proto, {"names": "{0: 'cat'}"})
    made, _ = changed(one_transpose_dfl, proto)
    assert {entry.key: entry.value for entry in made.proto.metadata_props} == {"names": "{0: 'cat'}"}


@pytest.mark.parametrize("name", ["last", "shares"])
def test_softmax_that_others_look_into_stays(name: str) -> None:
    proto = dfl(13, (make_node("Identity", [name], ["spy"]),))
    assert one_transpose_dfl(graph(proto), REQUEST) is None


def test_softmax_of_attention_stays() -> None:
    nodes = [
        make_node("Transpose", ["x"], ["turned"], perm=[0, 1, 3, 2]),
        make_node("MatMul", ["x", "turned"], ["likeness"]),
        make_node("Softmax", ["likeness"], ["shares"], axis=-1),
        make_node("Transpose", ["shares"], ["y"], perm=[0, 1, 3, 2]),
    ]
    proto = models.model(nodes, (1, 3, 32, 32))
    assert one_transpose_dfl(graph(proto), REQUEST) is None


def test_outputs_of_three_dimensions_get_a_fourth_and_keep_their_names() -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["wide"], kernel_shape=[1, 1]),
        make_node("Reshape", ["wide", "flat"], ["y"]),
        make_node("Sigmoid", ["y"], ["also"]),
        make_node("ArgMax", ["y"], ["best"], axis=1),
    ]
    weights = {"w": np.ones((6, 3, 1, 1), np.float32), "flat": np.array([1, 6, -1])}
    proto = models.model(nodes, (1, 6, 1024), weights)
    proto.graph.output.append(make_tensor_value_info("also", TensorProto.FLOAT, [1, 6, 1024]))
    proto.graph.output.append(make_tensor_value_info("wide", TensorProto.FLOAT, [1, 6, 32, 32]))
    proto.graph.output.append(make_tensor_value_info("best", TensorProto.INT64, [1, 1, 1024]))
    made, what = changed(outputs_4d, proto)
    shapes = {value.name: static_shape(value) for value in made.proto.graph.output}
    assert shapes == {
        **dict.fromkeys(("y", "also"), (1, 6, 1024, 1)),
        **{"wide": (1, 6, 32, 32), "best": (1, 1, 1024, 1)},
    }
    assert {output.name: output.shape for output in made.decode.outputs} == shapes
    assert "y [1, 6, 1024, 1], also [1, 6, 1024, 1]" in what


def test_new_tensors_take_no_name_that_is_there() -> None:
    nodes = [make_node("Reshape", ["x", "flat"], ["y_3d"]), make_node("Relu", ["y_3d"], ["y"])]
    changed(outputs_4d, models.model(nodes, (1, 3, 1024), {"flat": np.array([1, 3, -1])}))


@pytest.mark.parametrize("shape", [(1, 10), (1, 3, 32, 32)])
def test_outputs_of_other_ranks_stay(shape: tuple[int, ...]) -> None:
    if len(shape) == 4:
        proto = models.conv(3)
    else:
        weights = {"flat": np.array([1, -1]), "w": np.ones((3072, 10), np.float32)}
        nodes = [make_node("Reshape", ["x", "flat"], ["f"]), make_node("MatMul", ["f", "w"], ["y"])]
        proto = models.model(nodes, shape, weights)
    assert outputs_4d(graph(proto), REQUEST) is None


def test_constants_are_folded() -> None:
    nodes = [
        make_node("Shape", ["x"], ["shape"]),
        make_node("Gather", ["shape", "two"], ["side"]),
        make_node("Cast", ["side"], ["number"], to=TensorProto.FLOAT),
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        make_node("Div", ["c", "number"], ["y"]),
    ]
    weights = {"two": np.array([2]), "w": np.ones((3, 3, 1, 1), np.float32)}
    made, what = changed(simplify, models.model(nodes, (1, 3, 32, 32), weights))
    assert len(made.proto.graph.node) == 2
    assert what == "simplified from 5 to 2 nodes"


def test_model_that_is_simple_stays() -> None:
    assert simplify(graph(models.conv()), REQUEST) is None


def test_failure_of_onnxslim_is_told() -> None:
    circle = [make_node("Add", ["x", "b"], ["a"]), make_node("Relu", ["a"], ["b"])]
    proto = models.model([*circle, make_node("Relu", ["b"], ["y"])], (1, 3, 32, 32))
    with pytest.raises(Fault, match="onnxslim cannot simplify the model: maximum recursion") as caught:
        simplify(graph(proto), REQUEST)
    assert caught.value.code == "model-invalid"
