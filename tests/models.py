"""Small ONNX graphs for the tests, built in milliseconds: each is the least that shows one behaviour."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

SIDE = 32
Shape = Sequence[int | str]


def save(proto: ModelProto, path: Path) -> Path:
    """Write a model; returns `path`."""
    onnx.save(proto, path)
    return path


def model(
    nodes: Sequence[NodeProto],
    output: Shape,
    weights: Mapping[str, NDArray[Any]] | None = None,
    shape: Shape = (1, 3, SIDE, SIDE),
    opset: int = 13,
) -> ModelProto:
    """A float model from input `x` to output `y`."""
    graph = make_graph(
        nodes,
        "test",
        [make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    domains = {node.domain for node in nodes if node.domain}
    opsets = [make_opsetid("", opset), *(make_opsetid(domain, 1) for domain in domains)]
    return make_model(graph, opset_imports=opsets, ir_version=8)


def conv(channels: int = 8, shape: Shape = (1, 3, SIDE, SIDE), seed: int = 0, opset: int = 13) -> ModelProto:
    """One 3x3 convolution and a ReLU; the simplest model that quantises to something sensible."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["y"]),
    ]
    weights = {"w": _normal((channels, 3, 3, 3), seed)}
    return model(nodes, (shape[0], channels, *shape[2:]), weights, shape, opset)


def two_images() -> ModelProto:
    """A convolution for each of two images."""
    proto = conv()
    (weights,) = proto.graph.initializer
    second = make_node("Conv", ["x2", weights.name], ["y2"])
    proto.graph.node.append(second)
    for values, name in ((proto.graph.input, "x2"), (proto.graph.output, "y2")):
        values.add().CopyFrom(values[0])
        values[1].name = name
    return proto


def deep_conv(layers: int) -> ModelProto:
    """Convolutions in a row over 256x256 pixels: calibrating it takes long enough to be interrupted."""
    names = ["x", *(f"c{number}" for number in range(1, layers)), "y"]
    nodes = [
        make_node("Conv", [before, f"w{number}"], [after], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        for number, (before, after) in enumerate(pairwise(names))
    ]
    weights = {
        f"w{number}": _normal((32, 3 if number == 0 else 32, 3, 3), number) for number in range(layers)
    }
    return model(nodes, (1, 32, 256, 256), weights, (1, 3, 256, 256))


def boxes_and_scores() -> ModelProto:
    """Boxes of 0..640 and scores of 0..1 in one output, as raw detector heads have: int8 kills the scores."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node("Sigmoid", ["c"], ["s"]),
        make_node("Split", ["s", "parts"], ["b", "score"], axis=1),
        make_node("Mul", ["b", "pixels"], ["box"]),
        make_node("Mul", ["score", "faint"], ["f"]),
        make_node("Concat", ["box", "f"], ["y"], axis=1),
    ]
    weights = {
        "w": _normal((12, 3, 3, 3), 0),
        "parts": np.array([4, 8]),
        "pixels": np.full((1, 4, 1, 1), 640, np.float32),
        "faint": np.full((1, 8, 1, 1), 1, np.float32),
    }
    return model(nodes, (1, 12, SIDE, SIDE), weights)


def distances_head() -> ModelProto:
    """Two scales, their distances as expectations over 16 bins, decoded to corners: a stock YOLO head.

    rknn-toolkit2 2.5.0 fails on it in the fuse rule `seperate_conv_rs_split`, and says so.
    """
    bins, side = 16, 16
    anchors = side**2 + (side // 2) ** 2
    flat = []
    nodes = []
    weights = {
        "flat": np.array([1, 4 * bins, -1]),
        "split": np.array([1, 4, bins, anchors]),
        "joined": np.array([1, 4, anchors]),
        "bins": np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1),
        "anchors": np.random.default_rng(0).uniform(0, side, (1, 2, anchors)).astype(np.float32),
        **{name: np.array([number]) for name, number in (("0", 0), ("1", 1), ("2", 2), ("4", 4))},
    }
    for stride in (1, 2):
        weights[f"w{stride}"] = _normal((4 * bins, 3, 3, 3), stride)
        nodes += [
            make_node(
                "Conv",
                ["x", f"w{stride}"],
                [f"c{stride}"],
                kernel_shape=[3, 3],
                pads=[1] * 4,
                strides=[stride] * 2,
            ),
            make_node("Reshape", [f"c{stride}", "flat"], [f"f{stride}"]),
        ]
        flat.append(f"f{stride}")
    nodes += [
        make_node("Concat", flat, ["all"], axis=2),
        make_node("Reshape", ["all", "split"], ["sides"]),
        make_node("Transpose", ["sides"], ["binned"], perm=[0, 2, 1, 3]),
        make_node("Softmax", ["binned"], ["shares"], axis=1),
        make_node("Conv", ["shares", "bins"], ["expected"], kernel_shape=[1, 1]),
        make_node("Reshape", ["expected", "joined"], ["distances"]),
        make_node("Slice", ["distances", "0", "2", "1"], ["near"]),
        make_node("Slice", ["distances", "2", "4", "1"], ["far"]),
        make_node("Sub", ["anchors", "near"], ["low"]),
        make_node("Add", ["anchors", "far"], ["high"]),
        make_node("Concat", ["low", "high"], ["y"], axis=1),
    ]
    return model(nodes, (1, 4, anchors), weights, (1, 3, side, side))


def detector(opset: int = 12) -> ModelProto:
    """A detector of three classes at 64x64 with a stock YOLOv8 head: 84 boxes in pixels and their scores."""
    bins, classes, strides, side = 16, 3, (8, 16, 32), 64
    cells = [side // stride for stride in strides]
    count = sum(width**2 for width in cells)
    centres = [np.stack(np.meshgrid(*[np.arange(width) + 0.5] * 2), 0).reshape(2, -1) for width in cells]
    weights = {
        "stem": _normal((16, 3, 8, 8), 0),
        "boxes": np.array([1, 4 * bins, -1]),
        "scores": np.array([1, classes, -1]),
        "sides": np.array([1, 4, bins, count]),
        "joined": np.array([1, 4, count]),
        "bins": np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1),
        "centres": np.concatenate(centres, 1)[None].astype(np.float32),
        "strides": np.repeat(strides, [width**2 for width in cells]).astype(np.float32)[None],
        "half": np.array(2, np.float32),
        **{name: np.array([value]) for name, value in (("0", 0), ("1", 1), ("2", 2), ("4", 4))},
    }
    nodes = [make_node("Conv", ["x", "stem"], ["c8"], strides=[8, 8]), make_node("Relu", ["c8"], ["f8"])]
    for seed, stride in enumerate(strides, 1):
        if stride > 8:
            weights[f"w{stride}"] = _normal((16, 16, 2, 2), seed)
            nodes += [
                make_node("Conv", [f"f{stride // 2}", f"w{stride}"], [f"c{stride}"], strides=[2, 2]),
                make_node("Relu", [f"c{stride}"], [f"f{stride}"]),
            ]
        for kind, channels in (("boxes", 4 * bins), ("scores", classes)):
            name = f"{kind}{stride}"
            weights[f"w-{name}"] = _normal((channels, 16, 1, 1), 10 * seed + channels)
            nodes += [
                make_node("Conv", [f"f{stride}", f"w-{name}"], [f"c-{name}"]),
                make_node("Reshape", [f"c-{name}", kind], [name]),
            ]
    nodes += [
        make_node("Concat", [f"boxes{stride}" for stride in strides], ["all-boxes"], axis=2),
        make_node("Concat", [f"scores{stride}" for stride in strides], ["all-scores"], axis=2),
        make_node("Reshape", ["all-boxes", "sides"], ["by-side"]),
        make_node("Transpose", ["by-side"], ["bins-last"], perm=[0, 3, 1, 2]),
        make_node("Softmax", ["bins-last"], ["shares"], axis=3),
        make_node("Transpose", ["shares"], ["bins-first"], perm=[0, 3, 2, 1]),
        make_node("Conv", ["bins-first", "bins"], ["expected"]),
        make_node("Reshape", ["expected", "joined"], ["distances"]),
        make_node("Slice", ["distances", "0", "2", "1"], ["near"]),
        make_node("Slice", ["distances", "2", "4", "1"], ["far"]),
        make_node("Sub", ["centres", "near"], ["low"]),
        make_node("Add", ["centres", "far"], ["high"]),
        make_node("Add", ["low", "high"], ["twice"]),
        make_node("Div", ["twice", "half"], ["centre"]),
        make_node("Sub", ["high", "low"], ["size"]),
        make_node("Concat", ["centre", "size"], ["cells"], axis=1),
        make_node("Mul", ["cells", "strides"], ["pixels"]),
        make_node("Sigmoid", ["all-scores"], ["shown"]),
        make_node("Concat", ["pixels", "shown"], ["y"], axis=1),
    ]
    proto = model(nodes, (1, 4 + classes, count), weights, (1, 3, side, side), opset)
    onnx.helper.set_model_props(proto, {"names": "{0: 'cat', 1: 'dog', 2: 'heron'}", "task": "detect"})
    return proto


def attention(scale: bool = False, mask: bool = False, turned: bool = True) -> ModelProto:
    """Attention of two heads: softmax(q^T k) on v. Ultralytics scales q before the product since 8.4."""
    parts, heads, size = 16, 2, 8
    rows = size * size
    weights = {
        "w": _normal((heads * 3 * parts, 3, 3, 3), 0),
        "heads": np.array([1, heads, 3 * parts, rows]),
        "parts": np.array([parts] * 3),
        "joined": np.array([1, heads * parts, size, size]),
        "scale": np.array(0.25, np.float32),
        "mask": _normal((1, 1, rows, rows), 1),
    }
    between = [("Mul", "scale")] * scale + [("Add", "mask")] * mask
    names = ["scores", *(f"scores{number}" for number in range(len(between)))]
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        make_node("Reshape", ["c", "heads"], ["qkv"]),
        make_node("Split", ["qkv", "parts"], ["q", "k", "v"], axis=2),
        make_node("Transpose", ["q"], ["qt"], perm=[0, 1, 3, 2]),
        make_node("MatMul", ["qt", "k"], ["scores"]),
        *(
            make_node(op, [before, by], [after])
            for (op, by), (before, after) in zip(between, pairwise(names), strict=True)
        ),
        make_node("Softmax", [names[-1]], ["shares"], axis=-1),
        *(
            [
                make_node("Transpose", ["shares"], ["turned"], perm=[0, 1, 3, 2]),
                make_node("MatMul", ["v", "turned"], ["seen"]),
            ]
            if turned
            else [
                make_node("Transpose", ["v"], ["vt"], perm=[0, 1, 3, 2]),
                make_node("MatMul", ["shares", "vt"], ["rows"]),
                make_node("Transpose", ["rows"], ["seen"], perm=[0, 1, 3, 2]),
            ]
        ),
        make_node("Reshape", ["seen", "joined"], ["y"]),
    ]
    return model(nodes, (1, heads * parts, size, size), weights, (1, 3, size, size))


def padded() -> ModelProto:
    """A Pad before a convolution, as Keras exports it."""
    nodes = [
        make_node("Relu", ["x"], ["r"]),
        make_node("Pad", ["r", "pads"], ["p"]),
        make_node("Conv", ["p", "w"], ["y"], pads=[0] * 4, strides=[2, 2]),
    ]
    weights = {"pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "w": _normal((8, 3, 3, 3), 0)}
    return model(nodes, (1, 8, SIDE // 2, SIDE // 2), weights)


def normalised() -> ModelProto:
    """A LayerNormalization over channels that relies on ONNX's default for epsilon."""
    channels, rows = 16, SIDE * SIDE
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        make_node("Reshape", ["c", "rows"], ["r"]),
        make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        make_node("LayerNormalization", ["t", "g", "b"], ["y"], axis=-1),
    ]
    weights = {
        "w": _normal((channels, 3, 3, 3), 0),
        "rows": np.array([1, channels, rows]),
        "g": np.ones(channels, np.float32),
        "b": np.zeros(channels, np.float32),
    }
    return model(nodes, (1, rows, channels), weights, opset=17)


def transposed(side: int = 128) -> ModelProto:
    """A convolution whose output is wanted with channels last."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    weights = {"w": _normal((16, 3, 3, 3), 0)}
    return model(nodes, (1, side, side, 16), weights, (1, 3, side, side))


def operator(name: str, domain: str = "", opset: int = 13) -> ModelProto:
    """A convolution and then one operator that keeps the shape."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        make_node(name, ["c"], ["y"], domain=domain),
    ]
    return model(nodes, (1, 3, SIDE, SIDE), {"w": _normal((3, 3, 1, 1), 0)}, opset=opset)


def quantized() -> ModelProto:
    """A convolution as ONNX Runtime quantizes it: input, weights and output (0.02, 120) have their scales."""
    nodes = [
        make_node("QuantizeLinear", ["x", "fine", "least"], ["xq"]),
        make_node("DequantizeLinear", ["xq", "fine", "least"], ["xf"]),
        make_node("DequantizeLinear", ["w", "scale", "middle"], ["wf"]),
        make_node("Conv", ["xf", "wf"], ["c"]),
        make_node("QuantizeLinear", ["c", "scale", "zero"], ["cq"]),
        make_node("DequantizeLinear", ["cq", "scale", "zero"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "fine": np.array(1 / 255, np.float32),
        "least": np.array(0, np.uint8),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(120, np.uint8),
        "middle": np.array(128, np.uint8),
        "w": np.random.default_rng(0).integers(96, 160, (3, 3, 1, 1), np.uint8),
    }
    return model(nodes, (1, 3, SIDE, SIDE), weights)


def youngest() -> ModelProto:
    """A convolution and then an operator of opset 26 that no older one can express."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        make_node("CumProd", ["c", "axis"], ["y"]),
    ]
    weights = {"w": _normal((3, 3, 1, 1), 0), "axis": np.array(1)}
    return model(nodes, (1, 3, SIDE, SIDE), weights, opset=26)


def half(proto: ModelProto) -> ModelProto:
    """The same model in float16, inputs and outputs too."""
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
            )
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return proto


def _normal(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.2, shape).astype(np.float32)
