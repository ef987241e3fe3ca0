"""What a toolkit converts only in some forms is refused in the others, and in no more than those."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from host.sources.onnx.limits import LIMITS
from host.sources.onnx.operators import refuse_operators
from shared import chips
from shared.faults import Fault

TOOLKITS = list(chips.toolkits().values())
IMAGE = (1, 4, 8, 12)
Arrays = Mapping[str, Any]


def model(
    name: str, *more: str, shape: Sequence[int] = IMAGE, weights: Arrays | None = None, **attributes: Any
) -> ModelProto:
    """One operator at opset 12 on `x`; of `weights` those that are arrays are stored, shapes are fed."""
    given = weights or {}
    stored = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
    fed = {"x": shape, **{key: value for key, value in given.items() if key not in stored}}
    graph = make_graph(
        [make_node(name, ["x", *more], ["y"], **attributes)],
        "test",
        [make_tensor_value_info(key, TensorProto.FLOAT, value) for key, value in fed.items()],
        [make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, key) for key, array in stored.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 12)], ir_version=8)


def kernel(*shape: int) -> Arrays:
    return {"w": np.zeros(shape, np.float32)}


def lstm(batch: int) -> ModelProto:
    weights = {"w": np.zeros((1, 8, 3), np.float32), "r": np.zeros((1, 8, 2), np.float32)}
    return model("LSTM", "w", "r", shape=(5, batch, 3), weights=weights, hidden_size=2)


def pad(value: float) -> ModelProto:
    weights = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.array(value, np.float32)}
    return model("Pad", "p", "v", weights=weights)


def resize(*scales: float, **attributes: Any) -> ModelProto:
    weights = {"none": np.array([], np.float32), "s": np.array(scales, np.float32)}
    shape = IMAGE if len(scales) == 4 else (1, 4, 8)
    return model("Resize", "none", "s", shape=shape, weights=weights, **attributes)


def divide(shape: Sequence[int] | np.ndarray) -> ModelProto:
    return model("Div", "d", weights={"d": shape})


def activation(wave: str, by: str) -> ModelProto:
    """`by` times a function of softplus(x): mish, when they are "x" and "Tanh"."""
    made = model("Softplus")
    made.graph.node.extend([make_node(wave, ["y"], ["t"]), make_node("Mul", [by, "t"], ["z"])])
    made.graph.output[0].name = "z"
    return made


BEYOND_AND_WITHIN = {
    "cast-to-uint8": (model("Cast", to=TensorProto.UINT8), model("Cast", to=TensorProto.FLOAT)),
    "convolution-3d": (
        model("Conv", "w", shape=(1, 4, 3, 8, 8), weights=kernel(2, 4, 1, 3, 3)),
        model("Conv", "w", weights=kernel(2, 4, 3, 3)),
    ),
    "pool-3d": (
        model("AveragePool", shape=(1, 4, 3, 8, 8), kernel_shape=[1, 2, 2]),
        model("AveragePool", kernel_shape=[2, 2]),
    ),
    "max-pool-ceil-mode": (
        model("MaxPool", kernel_shape=[2, 2], ceil_mode=1),
        model("MaxPool", kernel_shape=[2, 2], ceil_mode=0),
    ),
    "max-pool-dilation": (
        model("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
        model("MaxPool", kernel_shape=[2, 2], dilations=[1, 1]),
    ),
    "argmax-keepdims": (model("ArgMax", axis=1), model("ArgMax", axis=1, keepdims=0)),
    "pixel-shuffle": (
        model("DepthToSpace", blocksize=2, mode="CRD"),
        model("DepthToSpace", blocksize=2),
    ),
    "upsample-1d": (resize(1, 1, 2), resize(1, 1, 2, 2)),
    "upsample-bicubic": (resize(1, 1, 2, 2, mode="cubic"), resize(1, 1, 2, 2, mode="linear")),
    "resize-to-fractions": (resize(1, 1, 2 / 3, 2 / 3), resize(1, 1, 1.5, 2 / 3)),
    "pad-value": (pad(1), pad(0)),
    "softplus-alone": (model("Softplus"), activation("Tanh", "x")),
    "lstm-batch": (lstm(2), lstm(1)),
    "convolution-dilations": (
        model("Conv", "w", weights=kernel(2, 4, 3, 3), dilations=[2, 3]),
        model("Conv", "w", weights=kernel(2, 4, 3, 3), dilations=[1, 3]),
    ),
    "division-broadcast": (divide((1, 4, 1, 1)), divide(IMAGE)),
}


def with_limit(name: str) -> chips.Toolkit:
    """A toolkit of the table that has this limit, and refuses no operator as such."""
    (toolkit,) = [toolkit for toolkit in TOOLKITS if name in toolkit.limits]
    return toolkit._replace(unsupported_ops={}, limits=[name])


@pytest.mark.parametrize("name", LIMITS)
def test_beyond_the_limit_is_refused_and_within_is_not(name: str) -> None:
    beyond, within = BEYOND_AND_WITHIN[name]
    refuse_operators(within, with_limit(name), quantize=True)
    with pytest.raises(Fault) as caught:
        refuse_operators(beyond, with_limit(name), quantize=True)
    assert caught.value.code == "model-op"
    assert caught.value.message.startswith(f"Operator {beyond.graph.node[0].op_type} at 'y' ")
    assert caught.value.hint.endswith(".")


def test_table_and_checks_name_each_other() -> None:
    assert {name for toolkit in TOOLKITS for name in toolkit.limits} == set(LIMITS)


@pytest.mark.parametrize(("wave", "by"), [("Tanh", "y"), ("Sigmoid", "x")])
def test_softplus_of_another_product_is_no_mish(wave: str, by: str) -> None:
    with pytest.raises(Fault, match="Softplus"):
        refuse_operators(activation(wave, by), with_limit("softplus-alone"), quantize=True)


def test_padding_matters_only_to_a_quantized_model() -> None:
    refuse_operators(pad(1), with_limit("pad-value"), quantize=False)


@pytest.mark.parametrize(
    ("divisor", "refused"),
    [
        (np.array(6, np.float32), False),
        (np.full((1, 1, 1), 6, np.float32), False),
        (np.ones((4, 1, 1), np.float32), True),
        ((1,), True),
    ],
    ids=["number", "number of three dimensions", "number per channel", "computed number"],
)
def test_division_by_one_constant_number_is_no_broadcast(divisor: Any, refused: bool) -> None:
    toolkit = with_limit("division-broadcast")
    if not refused:
        refuse_operators(divide(divisor), toolkit, quantize=True)
        return
    with pytest.raises(Fault, match="different shapes"):
        refuse_operators(divide(divisor), toolkit, quantize=True)


def test_number_that_is_computed_from_constants_is_constant() -> None:
    """GELU divides by the root of 2."""
    proto = divide(np.array(2, np.float32))
    proto.graph.node[0].input[1] = "root"
    proto.graph.node.insert(0, make_node("Sqrt", ["d"], ["root"]))
    refuse_operators(proto, with_limit("division-broadcast"), quantize=True)


def test_size_says_what_a_scale_cannot() -> None:
    """33 of 8 rows: the scale is no whole number, nor does it make one in float32; the size is."""
    weights = {"none": np.array([], np.float32), "size": np.array([1, 4, 33, 5])}
    sized = model("Resize", "none", "none", "size", weights=weights)
    refuse_operators(sized, with_limit("resize-to-fractions"), quantize=True)
    refuse_operators(resize(1, 1, 33 / 8, 5 / 12), with_limit("resize-to-fractions"), quantize=True)


def test_what_depends_on_constants_alone_is_folded_not_refused() -> None:
    proto = model("Div", "d", shape=(4,), weights={"d": np.ones((3, 4), np.float32)})
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "x"))
    refuse_operators(proto, with_limit("division-broadcast"), quantize=True)
