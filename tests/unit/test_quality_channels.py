"""Channel groups are found in the heads that detectors really export, and nowhere else."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from host.graph.channels import channel_layouts


def model(
    nodes: Sequence[NodeProto], inputs: Mapping[str, Sequence[int]], shape: Sequence[int], **constants: object
) -> ModelProto:
    """A model from `inputs` to an output named y."""
    graph = make_graph(
        nodes,
        "head",
        [make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in inputs.items()],
        [make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def groups(proto: ModelProto) -> tuple[int, list[tuple[int, int, bool]]]:
    """The channel axis of y and its groups as (start, stop, unit)."""
    layout = channel_layouts(proto)["y"]
    return layout.axis, [(group.start, group.stop, group.unit) for group in layout.groups]


def ultralytics(*box: NodeProto) -> list[NodeProto]:
    """Two strides of scores side by side, then boxes (from `box`, named boxes) on top of them."""
    return [
        make_node("Reshape", ["s8", "flat"], ["a"]),
        make_node("Reshape", ["s16", "flat"], ["b"]),
        make_node("Concat", ["a", "b"], ["logits"], axis=2),
        make_node("Sigmoid", ["logits"], ["scores"]),
        *box,
        make_node("Concat", ["boxes", "scores"], ["y"], axis=1),
    ]


STRIDES = {"s8": (1, 80, 8, 8), "s16": (1, 80, 4, 4), "lt": (1, 2, 80), "rb": (1, 2, 80)}
FLAT = np.array([1, 80, -1])


def test_ultralytics_head() -> None:
    box = (
        make_node("Concat", ["lt", "rb"], ["xyxy"], axis=1),
        make_node("Mul", ["xyxy", "strides"], ["boxes"]),
    )
    proto = model(ultralytics(*box), STRIDES, (1, 84, 80), flat=FLAT, strides=np.ones((1, 80), np.float32))
    assert groups(proto) == (1, [(0, 2, False), (2, 4, False), (4, 84, True)])


def test_shapes_that_inference_loses_do_not_hide_the_groups() -> None:
    """Exporters compute slice bounds in the graph; the boxes' own split is lost, the scores are not."""
    box = (
        make_node("Shape", ["lt"], ["shape"]),
        make_node("Gather", ["shape", "one"], ["channels"]),
        make_node("Div", ["channels", "one"], ["two"]),
        make_node("Slice", ["lt", "zero", "two", "one"], ["sliced"]),
        make_node("Sub", ["grid", "sliced"], ["xy"]),
        make_node("Concat", ["xy", "rb"], ["boxes"], axis=1),
    )
    constants = {"zero": np.array([0]), "one": np.array([1]), "grid": np.ones((1, 2, 80), np.float32)}
    proto = model(ultralytics(*box), STRIDES, (1, 84, 80), flat=FLAT, **constants)
    assert groups(proto)[1][-1] == (4, 84, True)


def test_yolox_head_is_followed_through_strides_transpose_and_decoding() -> None:
    nodes = []
    for stride in ("8", "16"):
        nodes += [
            make_node("Sigmoid", [f"obj{stride}"], [f"o{stride}"]),
            make_node("Sigmoid", [f"cls{stride}"], [f"c{stride}"]),
            make_node("Concat", [f"reg{stride}", f"o{stride}", f"c{stride}"], [f"cat{stride}"], axis=1),
            make_node("Reshape", [f"cat{stride}", "flat"], [f"flat{stride}"]),
        ]
    nodes += [
        make_node("Concat", ["flat8", "flat16"], ["all"], axis=2),
        make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]),
        make_node("Slice", ["rows", "at0", "at2", "last"], ["xy"]),
        make_node("Add", ["xy", "grid"], ["centre"]),
        make_node("Slice", ["rows", "at2", "at4", "last"], ["wh"]),
        make_node("Exp", ["wh"], ["size"]),
        make_node("Slice", ["rows", "at4", "end", "last"], ["rest"]),
        make_node("Concat", ["centre", "size", "rest"], ["y"], axis=-1),
    ]
    inputs = {
        f"{kind}{stride}": (1, channels, side, side)
        for kind, channels in (("reg", 4), ("obj", 1), ("cls", 14))
        for stride, side in (("8", 8), ("16", 4))
    }
    proto = model(
        nodes,
        inputs,
        (1, 80, 19),
        flat=np.array([1, 19, -1]),
        grid=np.ones((1, 80, 2), np.float32),
        last=np.array([-1]),
        at0=np.array([0]),
        at2=np.array([2]),
        at4=np.array([4]),
        end=np.array([2**62]),
    )
    assert groups(proto) == (2, [(0, 2, False), (2, 4, False), (4, 5, True), (5, 19, True)])


def test_yolov5_head_is_followed_through_split_and_reshape() -> None:
    nodes = []
    for stride in ("8", "16"):
        nodes += [
            make_node("Reshape", [f"s{stride}", f"anchors{stride}"], [f"r{stride}"]),
            make_node("Transpose", [f"r{stride}"], [f"t{stride}"], perm=[0, 1, 3, 4, 2]),
            make_node("Sigmoid", [f"t{stride}"], [f"p{stride}"]),
            make_node(
                "Split", [f"p{stride}", "parts"], [f"xy{stride}", f"wh{stride}", f"conf{stride}"], axis=4
            ),
            make_node("Mul", [f"xy{stride}", "pixels"], [f"c{stride}"]),
            make_node("Mul", [f"wh{stride}", "pixels"], [f"w{stride}"]),
            make_node("Concat", [f"c{stride}", f"w{stride}", f"conf{stride}"], [f"row{stride}"], axis=4),
            make_node("Reshape", [f"row{stride}", "flat"], [f"flat{stride}"]),
        ]
    nodes.append(make_node("Concat", ["flat8", "flat16"], ["y"], axis=1))
    proto = model(
        nodes,
        {"s8": (1, 255, 8, 8), "s16": (1, 255, 4, 4)},
        (1, 240, 85),
        anchors8=np.array([1, 3, 85, 8, 8]),
        anchors16=np.array([1, 3, 85, 4, 4]),
        parts=np.array([2, 2, 81]),
        pixels=np.array([16], np.float32),
        flat=np.array([1, -1, 85]),
    )
    assert groups(proto) == (2, [(0, 2, False), (2, 4, False), (4, 85, True)])


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid", "HardSigmoid"])
def test_classifier_is_one_group_within_unit_range(last: str) -> None:
    proto = model([make_node(last, ["x"], ["y"])], {"x": (1, 1000)}, (1, 1000))
    assert groups(proto) == (1, [(0, 1000, True)])


def test_clip_to_unit_range_is_known() -> None:
    nodes = [make_node("ReduceSum", ["x", "one"], ["s"]), make_node("Clip", ["s", "low", "high"], ["y"])]
    bounds = {"low": np.array(0, np.float32), "high": np.array(1, np.float32)}
    proto = model(nodes, {"x": (1, 80, 8, 8)}, (1, 1, 8, 8), one=np.array([1]), **bounds)
    assert groups(proto) == (1, [(0, 1, True)])


def test_concat_before_a_convolution_glues_no_output_channels() -> None:
    nodes = [make_node("Concat", ["a", "b"], ["c"], axis=1), make_node("Conv", ["c", "w"], ["y"])]
    weight = np.ones((6, 4, 1, 1), np.float32)
    proto = model(nodes, {"a": (1, 2, 8, 8), "b": (1, 2, 8, 8)}, (1, 6, 8, 8), w=weight)
    assert groups(proto) == (1, [(0, 6, False)])


def test_nhwc_channels_are_last() -> None:
    nodes = [make_node("Sigmoid", ["b"], ["s"]), make_node("Concat", ["a", "s"], ["y"], axis=3)]
    proto = model(nodes, {"a": (1, 8, 8, 4), "b": (1, 8, 8, 3)}, (1, 8, 8, 7))
    assert groups(proto) == (3, [(0, 4, False), (4, 7, True)])


def test_scores_chosen_by_topk_stay_within_unit_range() -> None:
    nodes = [
        make_node("Sigmoid", ["s"], ["p"]),
        make_node("TopK", ["p", "k"], ["best", "index"], axis=1),
        make_node("Gather", ["boxes", "rows"], ["b"], axis=1),
        make_node("Concat", ["b", "best"], ["y"], axis=2),
    ]
    inputs = {"s": (1, 80, 1), "boxes": (1, 80, 4)}
    proto = model(nodes, inputs, (1, 10, 5), k=np.array([10]), rows=np.arange(10))
    assert groups(proto) == (2, [(0, 4, False), (4, 5, True)])
