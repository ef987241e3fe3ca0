"""--inputs, --outputs and --input-sizes on a graph: what is cut out computes what it did."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from host.sources.onnx.extract import cut_out
from host.sources.onnx.interface import graph_inputs, static_shape
from host.sources.onnx.model import Cut, load
from host.sources.onnx.trial import random_inputs, run
from shared import chips
from shared.faults import Fault
from tests import models


def copy(proto: ModelProto) -> ModelProto:
    other = ModelProto()
    other.CopyFrom(proto)
    return other


def test_end_is_an_inner_tensor_with_the_same_values() -> None:
    proto = models.deep_conv(4)
    inner = proto.graph.node[1].output[0]
    part = cut_out(copy(proto), [], [inner], [])
    assert [value.name for value in part.graph.output] == [inner]
    assert len(part.graph.node) == 2
    whole = copy(proto)
    whole.graph.output.append(part.graph.output[0])
    inputs = random_inputs(part)
    np.testing.assert_array_equal(run(part, inputs)[0], run(whole, inputs)[-1])


def test_beginning_is_an_inner_tensor() -> None:
    proto = models.deep_conv(4)
    inner = proto.graph.node[1].output[0]
    part = cut_out(proto, [inner], [], [])
    assert [value.name for value in graph_inputs(part)] == [inner]
    assert len(part.graph.node) == len(proto.graph.node) - 2


def test_shapes_replace_what_the_file_says(tmp_path: Path) -> None:
    path = models.save(models.deep_conv(2), tmp_path / "m.onnx")
    source = load(path, chips.toolkit("toolkit2"), None, Cut(shapes=((1, 3, 24, 40),)))
    assert source.inputs[0].shape == (1, 3, 24, 40)
    assert static_shape(source.proto.graph.output[0])[2:] != (32, 32)


@pytest.mark.parametrize(
    ("inputs", "outputs", "shapes", "said"),
    [
        ((), ("nowhere",), (), "--outputs: unknown tensor nowhere"),
        (("nowhere",), (), (), "--inputs: unknown tensor nowhere"),
        ((), (), ((1, 3, 8, 8), (1, 2)), "2 shapes for 1 inputs"),
    ],
)
def test_what_is_not_there_is_named(
    inputs: tuple[str, ...], outputs: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], said: str
) -> None:
    with pytest.raises(Fault, match=said) as caught:
        cut_out(models.deep_conv(2), inputs, outputs, shapes)
    assert caught.value.code == "bad-option"


def test_ends_before_the_beginning_are_refused() -> None:
    proto = models.deep_conv(4)
    first, last = proto.graph.node[0].output[0], proto.graph.node[2].output[0]
    with pytest.raises(Fault, match="no graph lies between them"):
        cut_out(proto, [last], [first], [])
