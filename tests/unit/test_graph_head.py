"""Heads are recognised by what they compute: whatever their tensors are called, and only if it adds up."""

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from host.decoding.decoder import decode
from host.graph.head import Head, recognise, try_out
from host.graph.proof import distance
from tests import heads, models

DETECTORS = {
    **{
        f"{family}-{task}{'-rows' * rows}": (heads.yolov8(task, bins, rows=rows), family, task, not rows)
        for family, bins in (("yolov8", heads.BINS), ("yolo26", 1))
        for task in ("detect", "segment", "pose", "obb")
        for rows in (False, True)
    },
    "yolov8-opset-12": (heads.yolov8(opset=12), "yolov8", "detect", True),
    "yolov8-classes-first": (heads.yolov8(class_first=True), "yolov8", "detect", True),
    "yolov8-as-many-classes-as-bins": (heads.yolov8(classes=64), "yolov8", "detect", True),
    "yolov8-one-class": (heads.yolov8(classes=1), "yolov8", "detect", True),
    "yolo26-four-classes-first": (
        heads.yolov8(bins=1, classes=4, class_first=True),
        "yolo26",
        "detect",
        True,
    ),
    "yolov5": (heads.yolov5(), "yolov5", "detect", True),
    "yolov5-segment": (heads.yolov5(heads.MASKS), "yolov5", "segment", True),
    "yolov3": (heads.yolov3(), "yolov3", "detect", True),
    "yolov3-channels-last": (heads.yolov3(last=True), "yolov3", "detect", True),
    "yolov2": (heads.yolov3(shares=True, reaches=(1, 1, 1)), "yolov2", "detect", True),
    "yolox": (heads.yolox(), "yolox", "detect", True),
    "yolox-undecoded": (heads.yolox(decoded=False), "yolox", "detect", True),
    "yolov6": (heads.yolov6(), "yolov6", "detect", True),
    "open-vocabulary": (heads.open_vocabulary(), "yolov8", "detect", True),
    "boxes-and-scores": (heads.boxes_and_scores(), "yolov8", "detect", True),
    "picodet": (heads.picodet(), "nanodet", "detect", True),
}


def recognised(proto: ModelProto) -> Head:
    head = recognise(try_out(proto))
    assert head is not None
    return head


@pytest.mark.parametrize("name", DETECTORS)
def test_family_and_task(name: str) -> None:
    proto, family, task, nms = DETECTORS[name]
    own = recognised(proto).own
    assert (own.family, own.task, own.nms, own.layout) == (family, task, nms, "raw")
    assert sorted(own.strides) == list(heads.STRIDES)
    assert own.input_size == (heads.WIDTH, heads.HEIGHT)


@pytest.mark.parametrize("name", DETECTORS)
def test_last_convolutions_decode_to_the_models_own_boxes(name: str) -> None:
    trial = try_out(DETECTORS[name][0])
    head = recognise(trial)
    assert head is not None and head.branches is not None
    own = decode(trial.outputs, head.own)
    assert own.boxes.std() > 1, "boxes that are all alike would prove nothing"
    found = decode({**trial.branches, **trial.outputs}, head.branches)
    gap = distance(own, found, head.own.input_size)
    assert gap.coordinates < 1e-5 and gap.scores < 1e-5 and gap.masks < 1e-5


def test_what_the_channels_hold() -> None:
    pose = recognised(heads.yolov8("pose")).own
    assert pose.keypoints == (heads.KEYPOINTS, 3)
    assert [(part.role, part.channels) for part in pose.outputs[0].parts] == [
        ("box", 4),
        ("class", heads.CLASSES),
        ("keypoints", 3 * heads.KEYPOINTS),
    ]
    bins = recognised(heads.yolov8(bins=12)).branches
    assert bins is not None and bins.reg_max == 12
    assert recognised(heads.yolov8(bins=1)).own.reg_max == 0


def test_anchors_are_read_from_what_the_graph_makes_of_them() -> None:
    anchors = recognised(heads.yolov5()).own.anchors
    assert np.allclose(anchors, [heads.ANCHORS[stride] for stride in heads.STRIDES], rtol=1e-4)


def test_anchors_and_reach_of_exponents() -> None:
    for proto in (heads.yolov3(), heads.yolov3(last=True)):
        own = recognised(proto).own
        assert own.strides == heads.STRIDES[::-1]
        assert np.allclose(own.anchors, [heads.ANCHORS[stride] for stride in own.strides], rtol=1e-4)
        assert own.reach == heads.REACHES[::-1]


def test_anchors_that_the_graph_does_not_hold_are_not_made_up() -> None:
    head = recognised(heads.yolov5(decoded=False))
    assert head.own.family == "yolov5" and head.own.classes == heads.CLASSES
    assert not head.own.known
    with pytest.raises(ValueError, match="no known meaning"):
        decode(try_out(heads.yolov5(decoded=False)).outputs, head.own)


def test_corners_and_normalised_boxes_are_told_from_centres_and_pixels() -> None:
    codings = {
        name: recognised(DETECTORS[name][0]).own.outputs[0].parts[0].coding
        for name in ("yolov8-detect", "yolov8-detect-rows", "boxes-and-scores", "yolox-undecoded")
    }
    assert list(codings.values()) == ["xywh", "xyxy", "xyxy", "exponents"]
    assert not recognised(heads.yolov8()).own.normalised


def test_finished_rows_that_choose_candidates() -> None:
    own = recognised(heads.yolov8("obb", rows=True)).own
    assert [part.role for part in own.outputs[0].parts] == ["box", "score", "label", "angle"]
    assert own.outputs[0].parts[0].coding == "xywh"


@pytest.mark.parametrize("scale", [1.01, 0.5])
def test_a_head_that_computes_something_else_is_not_recognised(scale: float) -> None:
    assert recognise(try_out(heads.yolov8(scale=scale))) is None


def test_a_backbone_with_outputs_of_a_heads_shapes_is_no_head() -> None:
    assert recognise(try_out(heads.feature_maps())) is None


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3)], ids=["scalar", "one axis"])
def test_outputs_of_few_axes_are_no_head(axes: tuple[int, ...]) -> None:
    nodes = [make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=0)]
    assert recognise(try_out(models.model(nodes, [3] * (4 - len(axes))))) is None


def test_single_shot_detector_without_its_prior_boxes() -> None:
    head = recognised(heads.ssd())
    assert (head.own.family, head.own.classes, head.own.known) == ("ssd", heads.CLASSES, False)
    assert [output.role for output in head.own.outputs] == ["box", "class"]
    assert head.branches is None


def test_classifier() -> None:
    trial = try_out(heads.classifier())
    head = recognise(trial)
    assert head is not None and (head.own.task, head.own.classes) == ("classify", heads.CLASSES)
    assert decode(trial.outputs, head.own).scores.sum() == pytest.approx(1, abs=1e-5)
