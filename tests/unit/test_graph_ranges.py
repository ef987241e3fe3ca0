"""Mixed ranges are found where 8 bits lose values, and nowhere else."""

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from host.graph.prepare import prepare
from tests import heads
from tests.models import boxes_and_scores, conv

DECODED = {
    **{f"yolov8-{task}": heads.yolov8(task) for task in ("detect", "segment", "pose", "obb")},
    **{
        f"yolo26-{task}-rows": heads.yolov8(task, bins=1, rows=True)
        for task in ("detect", "segment", "pose", "obb")
    },
    "yolov5": heads.yolov5(),
    "yolov5-segment": heads.yolov5(heads.MASKS),
    "yolov3": heads.yolov3(),
    "yolov2": heads.yolov3(shares=True),
    "yolov6": heads.yolov6(),
    "yolox": heads.yolox(),
}


@pytest.mark.parametrize("name", DECODED)
def test_every_decoded_head_is_flagged(name: str) -> None:
    assert prepare(DECODED[name], "raw").mixed


@pytest.mark.parametrize("name", DECODED)
def test_no_head_is_flagged_that_was_laid_out_for_8_bits(name: str) -> None:
    assert not prepare(DECODED[name], "auto").mixed


@pytest.mark.parametrize(
    "proto",
    [
        heads.boxes_and_scores(),
        heads.picodet(),
        heads.ssd(),
        heads.classifier(),
        heads.feature_maps(),
        conv(),
    ],
    ids=["boxes-and-scores", "picodet", "ssd", "classifier", "feature-maps", "conv"],
)
def test_outputs_of_one_kind_each_are_not_flagged(proto: ModelProto) -> None:
    assert not prepare(proto, "raw").mixed


def test_what_is_said_of_a_head_that_is_not_known() -> None:
    """Boxes up to 640 beside scores: an 8-bit step is 2.5, more than any score."""
    (mixed,) = prepare(boxes_and_scores(), "auto").mixed
    assert mixed.tensor == "y" and mixed.narrow == (4, 12)
    assert mixed.levels == pytest.approx(255 / 640, rel=0.2)
    assert "channels 4-11" in str(mixed) and "0.4" in str(mixed)


def test_keypoints_in_pixels_beside_their_visibility_are_flagged() -> None:
    (mixed,) = prepare(heads.yolov8("pose"), "branches").mixed
    assert mixed.tensor == "keypoints" and mixed.narrow == (2, 3)


@pytest.mark.parametrize("bits", [None, 16])
def test_other_activations_have_levels_enough(bits: int | None) -> None:
    assert not prepare(heads.yolov8(), "raw", bits).mixed


def test_outputs_cut_from_a_shared_tensor_do_not_hide_it() -> None:
    """Slices after the Concat: each output is of one kind, the tensor before them is not."""
    proto = heads.yolov8()
    graph = proto.graph
    (output,) = graph.output
    for name, start, stop in (("boxes", 0, 4), ("scores", 4, 4 + heads.CLASSES)):
        limits = [
            from_array(np.array([each]), f"{name}{key}")
            for key, each in zip("abc", (start, stop, 1), strict=True)
        ]
        graph.initializer.extend(limits)
        graph.node.append(make_node("Slice", [output.name, *(each.name for each in limits)], [name]))
        graph.output.append(
            make_tensor_value_info(name, TensorProto.FLOAT, [1, stop - start, heads.CANDIDATES])
        )
    shared = output.name
    graph.output.remove(output)
    assert [each.tensor for each in prepare(proto, "raw").mixed] == [shared]


@pytest.mark.parametrize(("factor", "flagged"), [(10, False), (1000, True)])
def test_it_is_the_measured_range_that_decides(factor: float, flagged: bool) -> None:
    nodes = [
        make_node("Sigmoid", ["x"], ["scores"]),
        make_node("Mul", ["x", "factor"], ["large"]),
        make_node("Concat", ["large", "scores"], ["y"], axis=1),
    ]
    graph = make_graph(
        nodes,
        "ranges",
        [make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])],
        [from_array(np.array(factor, np.float32), "factor")],
    )
    proto = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    assert bool(prepare(proto).mixed) == flagged


def test_shapes_that_a_graph_computes_are_no_values() -> None:
    proto = conv(channels=8)
    graph = proto.graph
    graph.node.append(make_node("Concat", ["ones", "large"], ["shape"], axis=0))
    graph.node.append(make_node("Reshape", ["y", "shape"], ["z"]))
    graph.initializer.extend(
        [from_array(np.array([1, 1]), "ones"), from_array(np.array([8 * 32 * 32]), "large")]
    )
    graph.output[0].CopyFrom(make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 8 * 32 * 32]))
    assert not prepare(proto).mixed
