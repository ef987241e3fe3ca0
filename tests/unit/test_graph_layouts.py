"""What each head layout gives: the outputs that its decoders expect, with the values of the source model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx.checker
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from host.decoding.decoder import decode, sigmoid
from host.graph.families import FAMILIES
from host.graph.head import recognise, try_out
from host.graph.layouts import CUTS
from host.graph.prepare import prepare
from host.graph.proof import distance
from host.graph.request import Prepared
from host.sources.onnx.trial import random_inputs, run
from shared.faults import Fault
from tests import heads
from tests.heads import CANDIDATES, CLASSES, HEIGHT, KEYPOINTS, MASKS, STRIDES, WIDTH

MODELS = {
    **{f"yolov8-{task}": heads.yolov8(task) for task in ("detect", "segment", "pose", "obb")},
    **{
        f"yolo26-{task}-rows": heads.yolov8(task, bins=1, rows=True)
        for task in ("detect", "segment", "pose", "obb")
    },
    "yolov8-opset-12": heads.yolov8("pose", opset=12),
    "yolov5": heads.yolov5(),
    "yolov5-segment": heads.yolov5(MASKS),
    "yolov3": heads.yolov3(),
    "yolov2": heads.yolov3(shares=True),
    "yolov6": heads.yolov6(),
    "yolox": heads.yolox(),
    "open-vocabulary": heads.open_vocabulary(),
    "picodet": heads.picodet(),
    "boxes-and-scores": heads.boxes_and_scores(),
}
DETECT = heads.yolov8()
SIZE = np.array([WIDTH, HEIGHT] * 2)[:, None]


def outputs(proto: ModelProto) -> dict[str, NDArray[Any]]:
    """By name, for the same input as `try_out`."""
    names = [value.name for value in proto.graph.output]
    return dict(zip(names, run(proto, random_inputs(proto)), strict=True))


def shapes(prepared: Prepared) -> list[tuple[int, ...]]:
    return [array.shape for array in outputs(prepared.proto).values()]


def per_stride(*channels: int) -> list[tuple[int, ...]]:
    return [(1, each, HEIGHT // stride, WIDTH // stride) for stride in STRIDES for each in channels]


@pytest.mark.parametrize("layout", ["branches", "branches6", "end2end", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_every_layout_decodes_to_what_the_source_finds(name: str, layout: str) -> None:
    trial = try_out(MODELS[name])
    head = recognise(trial)
    assert head is not None
    prepared = prepare(MODELS[name], layout)
    onnx.checker.check_model(prepared.proto, full_check=True)
    found = outputs(prepared.proto)
    assert {each.name: each.shape for each in prepared.decode.outputs} == {
        k: v.shape for k, v in found.items()
    }
    gap = distance(
        decode(trial.outputs, head.own), decode(list(found.values()), prepared.decode), (WIDTH, HEIGHT)
    )
    assert gap.coordinates < 1e-5 and gap.scores < 1e-5 and gap.masks < 1e-5


@pytest.mark.parametrize(
    ("proto", "layout", "expected"),
    [
        (DETECT, "branches", per_stride(64, CLASSES, 1)),
        (DETECT, "branches6", per_stride(64, CLASSES)),
        (
            MODELS["yolov8-segment"],
            "branches",
            [*per_stride(64, CLASSES, 1, MASKS), (1, MASKS, HEIGHT // 4, WIDTH // 4)],
        ),
        (
            MODELS["yolov8-pose"],
            "branches",
            [*per_stride(64 + CLASSES), (1, KEYPOINTS, 3, CANDIDATES)],
        ),
        (MODELS["yolov8-pose"], "branches6", per_stride(64, CLASSES, 3 * KEYPOINTS)),
        (MODELS["yolov8-obb"], "branches", [*per_stride(64 + CLASSES), (1, 1, CANDIDATES)]),
        (heads.yolov8(bins=1), "branches", per_stride(4, CLASSES, 1)),
        (heads.yolov6(), "branches", per_stride(4, CLASSES, 1)),
        (heads.yolov5(), "branches", per_stride(3 * (5 + CLASSES))),
        (
            heads.yolov5(MASKS),
            "branches",
            [*per_stride(3 * (5 + CLASSES), 3 * MASKS), (1, MASKS, HEIGHT // 4, WIDTH // 4)],
        ),
        (heads.yolov5(decoded=False), "branches", per_stride(3 * (5 + CLASSES))),
        (heads.yolov3(), "branches", per_stride(3 * (5 + CLASSES))[::-1]),
        (heads.yolov3(), "branches6", per_stride(3 * (1 + CLASSES), 3 * 4)[::-1]),
        (heads.yolox(), "branches", per_stride(5 + CLASSES)),
        (heads.yolox(), "branches6", per_stride(4, 1, CLASSES)),
        (heads.picodet(), "branches", per_stride(CLASSES, 32)),
        (DETECT, "end2end", [(1, 4 + CLASSES, CANDIDATES)]),
        (MODELS["yolov8-pose"], "end2end", [(1, 4 + CLASSES + 3 * KEYPOINTS, CANDIDATES)]),
        (
            MODELS["yolov8-segment"],
            "end2end",
            [(1, 4 + CLASSES, CANDIDATES), (1, MASKS, CANDIDATES), (1, MASKS, HEIGHT // 4, WIDTH // 4)],
        ),
        (DETECT, "split", [(1, 4, CANDIDATES), (1, CLASSES, CANDIDATES)]),
        (
            MODELS["yolov8-pose"],
            "split",
            [
                (1, 4, CANDIDATES),
                (1, CLASSES, CANDIDATES),
                (1, 2 * KEYPOINTS, CANDIDATES),
                (1, KEYPOINTS, CANDIDATES),
            ],
        ),
    ],
)
def test_outputs_are_those_that_the_layouts_decoders_expect(
    proto: ModelProto, layout: str, expected: Sequence[tuple[int, ...]]
) -> None:
    assert shapes(prepare(proto, layout)) == list(expected)


def test_branches_of_exponents_are_the_last_convolutions_themselves() -> None:
    trial = try_out(heads.yolov3())
    found = outputs(prepare(heads.yolov3(), "branches").proto)
    expected = {array.shape: array for array in trial.branches.values()}
    assert len(found) == 3 and all(np.array_equal(each, expected[each.shape]) for each in found.values())


def test_undecoded_branches_of_anchors_are_not_guessed() -> None:
    """They may be YOLOv3's, v5's or v7's: nothing in them tells."""
    again = prepare(prepare(heads.yolov3(), "branches").proto)
    assert (again.decode.family, again.decode.layout) == ("unknown", "raw")


def test_branches_hold_logits_of_boxes_and_classes_after_one_sigmoid() -> None:
    trial = try_out(DETECT)
    found = outputs(prepare(DETECT, "branches").proto)
    boxes, classes = (
        next(a for a in trial.branches.values() if a.shape[1:] == (width, HEIGHT // 8, WIDTH // 8))
        for width in (64, CLASSES)
    )
    assert np.allclose(found["box_8"], boxes, atol=1e-5)
    assert np.allclose(found["class_8"], sigmoid(classes), atol=1e-5)
    assert np.allclose(
        found["score_sum_8"], found["class_8"].sum(axis=1, keepdims=True).clip(0, 1), atol=1e-5
    )
    sums = np.concatenate([found[f"score_sum_{stride}"].ravel() for stride in STRIDES])
    assert (sums == 1).any() and (sums < 1).any(), "both sides of the limit are seen"


def test_end2end_is_the_familiar_output_with_coordinates_in_the_unit_square() -> None:
    (raw,) = outputs(heads.yolov8("pose")).values()
    (found,) = outputs(prepare(heads.yolov8("pose"), "end2end").proto).values()
    scores = slice(4, 4 + CLASSES)
    assert np.allclose(found[0, :4] * SIZE, raw[0, :4], atol=1e-3)
    assert np.allclose(found[0, scores], raw[0, scores], atol=1e-5), "the sigmoid is applied once"
    points, expected = (each[0, 4 + CLASSES :].reshape(KEYPOINTS, 3, -1) for each in (found, raw))
    assert np.allclose(points[:, :2] * SIZE[:2], expected[:, :2], atol=1e-3)
    assert np.allclose(points[:, 2], expected[:, 2], atol=1e-5)


def test_split_is_the_models_output_in_pieces() -> None:
    (raw,) = outputs(heads.yolov8("obb")).values()
    found = outputs(prepare(heads.yolov8("obb"), "split").proto)
    assert list(found) == ["box", "class", "angle"]
    assert np.allclose(np.concatenate(list(found.values()), axis=1), raw, atol=1e-3)


def test_layouts_of_the_zoo_as_its_decoders_read_them() -> None:
    """Keypoints in pixels and visible shares; angles before their shift; YOLOv5's shares by anchor."""
    (pose,) = outputs(heads.yolov8("pose")).values()
    keypoints = outputs(prepare(heads.yolov8("pose"), "branches").proto)["keypoints"]
    assert np.allclose(keypoints.reshape(3 * KEYPOINTS, -1), pose[0, 4 + CLASSES :], atol=1e-3)
    (obb,) = outputs(heads.yolov8("obb")).values()
    angle = outputs(prepare(heads.yolov8("obb"), "branches").proto)["angle"]
    assert np.allclose((angle[0, 0] - 0.25) * np.pi, obb[0, -1], atol=1e-4)
    (raw,) = outputs(heads.yolov5()).values()
    eight = next(iter(outputs(prepare(heads.yolov5(), "branches").proto).values()))
    cells = heads.CELLS[8]
    assert np.allclose(
        eight.reshape(3, 5 + CLASSES, cells)[:, 4:].transpose(0, 2, 1),
        raw[0, : 3 * cells, 4:].reshape(3, cells, -1),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("proto", "bits", "layout"),
    [
        (DETECT, 8, "branches"),
        (DETECT, 16, "branches"),
        (DETECT, None, "raw"),
        (heads.yolov8("segment"), 8, "branches"),
        (heads.yolov8("pose"), 8, "branches6"),
        (heads.yolov8("obb"), 8, "branches6"),
        (heads.yolox(), 8, "branches6"),
        (heads.yolov3(), 8, "branches6"),
        (heads.yolov3(shares=True), 8, "branches6"),
        (heads.yolov3(), None, "raw"),
        (heads.yolov8(rows=True), None, "branches"),
        (heads.boxes_and_scores(), 8, "branches"),
        (heads.picodet(), 8, "raw"),
        (heads.ssd(), 8, "raw"),
        (heads.classifier(), 8, "raw"),
        (heads.feature_maps(), 8, "raw"),
        (heads.yolov5(decoded=False), 8, "raw"),
    ],
)
def test_auto_takes_what_keeps_accuracy(proto: ModelProto, bits: int | None, layout: str) -> None:
    assert prepare(proto, "auto", bits).decode.layout == layout


@pytest.mark.parametrize("layout", CUTS)
@pytest.mark.parametrize(
    "name", ["yolov8-detect", "yolov8-segment", "yolov8-pose", "yolov8-obb", "yolox", "yolov6"]
)
def test_a_head_that_was_cut_is_recognised_and_left_alone(name: str, layout: str) -> None:
    cut = prepare(MODELS[name], layout)
    again = prepare(cut.proto)
    assert again.decode.layout == layout
    assert [each.parts for each in again.decode.outputs] == [each.parts for each in cut.decode.outputs]
    values = outputs(cut.proto)
    gap = distance(decode(values, cut.decode), decode(values, again.decode), (WIDTH, HEIGHT))
    assert gap.coordinates < 1e-3 and gap.scores < 1e-4 and gap.masks < 1e-3


@pytest.mark.parametrize(
    ("proto", "layout"),
    [
        (heads.feature_maps(), "branches"),
        (heads.classifier(), "end2end"),
        (heads.yolov5(decoded=False), "end2end"),
        (prepare(DETECT, "branches").proto, "split"),
    ],
    ids=["unknown", "classifier", "no-anchors", "cut-already"],
)
def test_a_layout_that_a_head_does_not_have_is_refused(proto: ModelProto, layout: str) -> None:
    with pytest.raises(Fault) as caught:
        prepare(proto, layout)
    assert caught.value.code == "head-unknown"


def test_every_layout_is_of_a_family_that_can_be_recognised() -> None:
    kinds: Mapping[tuple[str, str], object] = {
        kind: cut for cuts in CUTS.values() for kind, cut in cuts.items()
    }
    assert {family for family, _ in kinds} == set(FAMILIES)
