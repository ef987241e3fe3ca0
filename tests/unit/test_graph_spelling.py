"""A graph that is spelled out has another encoding and computes the same."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import get_attribute_value, make_node
from onnx.numpy_helper import from_array, to_array

from host.graph.spelling import spell_out
from host.sources.onnx.trial import random_inputs, run
from tests import models


def spelled(proto: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(proto)
    spell_out(copy)
    onnx.checker.check_model(copy)
    return copy


@pytest.mark.parametrize("make", [models.padded, models.normalised, models.attention, models.detector])
def test_values_stay(make: object) -> None:
    assert callable(make)
    proto = make()
    inputs = random_inputs(proto)
    for expected, found in zip(run(proto, inputs), run(spelled(proto), inputs), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_whole_numbers_are_lists_and_weights_are_not() -> None:
    before, after = models.padded(), spelled(models.padded())
    tensors = {tensor.name: tensor for tensor in after.graph.initializer}
    assert not tensors["pads"].HasField("raw_data")
    assert list(tensors["pads"].int64_data) == [0, 0, 0, 0, 0, 0, 1, 1]
    assert to_array(tensors["pads"]).flags.writeable
    assert not to_array(before.graph.initializer[0]).flags.writeable
    assert tensors["w"].HasField("raw_data")


def test_constant_nodes_and_matrices_too() -> None:
    values = np.arange(6, dtype=np.int64).reshape(2, 3)
    proto = models.conv()
    proto.graph.node.insert(0, make_node("Constant", [], ["k"], value=from_array(values)))
    after = spelled(proto)
    tensor = get_attribute_value(after.graph.node[0].attribute[0])
    assert isinstance(tensor, TensorProto)
    assert not tensor.HasField("raw_data")
    np.testing.assert_array_equal(to_array(tensor), values)


def test_epsilon_is_written_down_once() -> None:
    after = spelled(spelled(models.normalised()))
    (node,) = [node for node in after.graph.node if node.op_type == "LayerNormalization"]
    found = [get_attribute_value(each) for each in node.attribute if each.name == "epsilon"]
    assert found == [pytest.approx(1e-5)]


def test_epsilon_of_the_model_stays() -> None:
    proto = models.normalised()
    node = next(node for node in proto.graph.node if node.op_type == "LayerNormalization")
    node.attribute.append(onnx.helper.make_attribute("epsilon", 0.5))
    (kept,) = [
        get_attribute_value(each)
        for each in spelled(proto).graph.node[-1].attribute
        if each.name == "epsilon"
    ]
    assert kept == 0.5
