"""The reference decoder, against values worked out by hand; and selection."""

import json
from dataclasses import replace

import numpy as np
import pytest

from host.decoding.contract import Decode, Output, Part
from host.decoding.decoder import Detections, decode
from host.decoding.select import iou, oriented_iou, select

CLASS = Part("class", 2, "logit")


def one_stride(*parts: Part, **fields: object) -> Decode:
    """A grid of 4x2 cells of 8 pixels, one output."""
    channels = sum(part.channels for part in parts)
    output = Output("y", (1, channels, 2, 4), parts, 8)
    how = Decode("any", "detect", "raw", (output,), (32, 16), 2, (8,))
    return replace(how, **fields)  # type: ignore[arg-type]


def values(*channels: float) -> list[np.ndarray]:
    """The same channels in every cell."""
    return [np.broadcast_to(np.array(channels, np.float32)[None, :, None, None], (1, len(channels), 2, 4))]


def test_distances_from_the_cells_centre() -> None:
    found = decode(values(1, 0.5, 2, 1.5, 0, 0), one_stride(Part("box", 4, "distances"), CLASS))
    assert found.boxes.shape == (8, 4)
    # the cell in the second row and third column has its centre at 2.5, 1.5
    assert found.boxes[6].tolist() == [12, 8, 36, 24]
    assert found.scores[6].tolist() == [0.5, 0.5]


def test_bins_are_expectations() -> None:
    logits = np.full((4, 4), -50.0)
    logits[[0, 1, 2, 3], [1, 2, 3, 0]] = 0
    logits[3, 2] = 0  # half of bin 0, half of bin 2
    how = one_stride(Part("box", 16, "bins"), CLASS, reg_max=4)
    found = decode(values(*logits.ravel(), 0, 0), how)
    assert np.allclose(
        found.boxes[0], [(0.5 - 1) * 8, (0.5 - 2) * 8, (0.5 + 3) * 8, (0.5 + 1) * 8], atol=1e-4
    )


def test_anchors_one_after_the_other() -> None:
    parts = (Part("box", 4, "anchors"), Part("objectness", 1, "probability"), Part("class", 2, "probability"))
    how = one_stride(*parts, anchors=(((10.0, 20.0), (40.0, 8.0)),))
    how = replace(how, outputs=(replace(how.outputs[0], shape=(1, 14, 2, 4)),))
    first, second = (0.5, 0.5, 0.5, 1.0, 0.5, 0.2, 0.8), (1.0, 0.0, 0.25, 0.5, 1.0, 0.5, 0.25)
    found = decode(values(*first, *second), how)
    assert how.candidates == 16 == len(found.boxes)
    # first anchor, cell 1, 0: centre 1.5, 0.5 cells; size 10 x 4 * 20
    assert np.allclose(found.boxes[1], [12 - 5, 4 - 40, 12 + 5, 4 + 40])
    assert np.allclose(found.scores[1], [0.1, 0.4])
    # second anchor, cell 0, 1: centre 1.5, 0.5; size 40 / 4 x 8
    assert np.allclose(found.boxes[8 + 4], [12 - 5, 4 - 4, 12 + 5, 4 + 4])
    assert np.allclose(found.scores[12], [0.5, 0.25])


def test_exponents() -> None:
    found = decode(values(0.25, 0.75, np.log(2), 0, 0, 0), one_stride(Part("box", 4, "exponents"), CLASS))
    assert np.allclose(found.boxes[5], [1.25 * 8 - 8, 1.75 * 8 - 4, 1.25 * 8 + 8, 1.75 * 8 + 4])


def test_exponents_of_anchors_and_the_reach_of_their_centres() -> None:
    parts = (Part("box", 4, "anchor-exponents"), Part("objectness", 1, "logit"), Part("class", 2, "softmax"))
    how = one_stride(*parts, anchors=(((10.0, 20.0),),), reach=(1.2,))
    found = decode(values(np.log(3), 0, np.log(2), 0, 0, np.log(3), 0), how)
    # cell 1, 1: centre 1 + 0.5 + 1.2 * 0.25, 1.5 cells; size 20 x 20
    assert np.allclose(found.boxes[5], [1.8 * 8 - 10, 12 - 10, 1.8 * 8 + 10, 12 + 10], atol=1e-4)
    assert np.allclose(found.scores[5], [0.5 * 0.75, 0.5 * 0.25])


@pytest.mark.parametrize(
    ("coding", "x", "y"), [("corner+2t", 8 * (1 + 0.5), 8 * 1.0), ("centre+t", 8 * 1.75, 8 * 0.5 + 8 * 0.5)]
)
def test_keypoints(coding: str, x: float, y: float) -> None:
    how = one_stride(Part("box", 4, "distances"), CLASS, Part("keypoints", 3, coding), keypoints=(1, 3))
    found = decode(values(1, 1, 1, 1, 0, 0, 0.25, 0.5, np.log(3)), how)
    assert found.keypoints is not None
    assert np.allclose(found.keypoints[1, 0], [x, y, 0.75])


def test_oriented_boxes_turn_the_shift_of_their_centre() -> None:
    how = one_stride(Part("box", 4, "distances"), CLASS, Part("angle", 1, "half-turns"))
    found = decode(
        values(0, 1, 2, 1, 0, 0, 0.75), how
    )  # a quarter turn; the centre lies one cell to the right
    assert found.angles is not None and found.angles[0] == pytest.approx(np.pi / 2)
    assert np.allclose(found.boxes[0], [4 - 8, 12 - 8, 4 + 8, 12 + 8], atol=1e-5)


def test_normalised_boxes_in_rows_of_all_strides() -> None:
    parts = (Part("box", 4, "xywh"), Part("class", 2, "probability"))
    output = Output("y", (1, 3, 6), parts, 0, channels_last=True)
    how = Decode("any", "detect", "raw", (output,), (200, 100), 2, normalised=True)
    row = [0.5, 0.5, 0.2, 0.4, 0.1, 0.9]
    found = decode([np.array([[row] * 3], np.float32)], how)
    assert np.allclose(found.boxes[2], [80, 30, 120, 70]) and np.allclose(found.scores[2], [0.1, 0.9])


def test_strides_are_put_in_order_whatever_the_order_of_outputs() -> None:
    parts = (Part("box", 4, "distances"), CLASS)
    outputs = tuple(
        Output(f"s{stride}", (1, 6, 16 // stride, 32 // stride), parts, stride) for stride in (16, 8)
    )
    how = Decode("any", "detect", "raw", outputs, (32, 16), 2, (8, 16))
    arrays = [np.zeros(output.shape, np.float32) for output in outputs]
    arrays[0][:, 4] = 2
    found = decode(arrays, how)
    assert (
        len(found.scores) == 8 + 2
        and (found.scores[:8, 0] == 0.5).all()
        and (found.scores[8:, 0] > 0.8).all()
    )
    assert found.boxes[9].tolist() == [24, 8, 24, 8]


def test_finished_rows() -> None:
    parts = (Part("box", 4, "xyxy"), Part("score", 1, "probability"), Part("label", 1, "index"))
    how = Decode(
        "any", "detect", "raw", (Output("y", (1, 2, 6), parts, 0, True),), (32, 16), 3, (8,), nms=False
    )
    found = decode([np.array([[[1, 2, 3, 4, 0.9, 2], [0, 0, 0, 0, 0, 0]]], np.float32)], how)
    assert found.scores.tolist() == [[0, 0, pytest.approx(0.9)], [0, 0, 0]]


def test_outputs_are_found_by_name_too() -> None:
    how = one_stride(Part("box", 4, "distances"), CLASS)
    assert np.array_equal(
        decode({"y": values(*range(6))[0]}, how).boxes, decode(values(*range(6)), how).boxes
    )


def test_contract_survives_json() -> None:
    how = one_stride(Part("box", 4, "anchors"), CLASS, anchors=(((10.0, 13.5),),), keypoints=(17, 3))
    assert Decode.from_json(json.loads(json.dumps(how.to_json()))) == how


def test_outputs_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="no known meaning"):
        decode(values(1, 2), one_stride())


BOXES = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
SCORES = np.array([[0.9, 0], [0.8, 0], [0, 0.7], [0.1, 0.2]], np.float32)


def test_selection_drops_what_overlaps_a_better_box_of_its_class() -> None:
    kept = select(Detections(BOXES, SCORES), nms=True)
    assert kept.rows.tolist() == [0, 2] and kept.classes.tolist() == [0, 1]
    assert select(Detections(BOXES, SCORES), nms=False).rows.tolist() == [0, 1, 2]
    assert select(Detections(BOXES, SCORES), nms=True, threshold=0.1).rows.tolist() == [0, 2, 3]
    assert select(Detections(BOXES, SCORES), nms=True, overlap=0.9).rows.tolist() == [0, 1, 2]


def test_overlap() -> None:
    assert iou(BOXES[:1], BOXES)[0].tolist() == pytest.approx([1, 90 / 110, 1, 0])


def test_oriented_overlap() -> None:
    long, tall = np.array([[0, 5, 20, 15.0]]), np.array([[5, 0, 15, 20.0]])
    turned = oriented_iou(long, np.array([np.pi / 2]), tall, np.zeros(1))
    assert turned[0, 0] == pytest.approx(1, abs=1e-6), "a quarter turn makes one box of the other"
    assert oriented_iou(long, np.zeros(1), tall, np.zeros(1))[0, 0] < 0.7
    far = tall + 100
    assert oriented_iou(long, np.zeros(1), far, np.zeros(1))[0, 0] == pytest.approx(0, abs=1e-6)


def test_oriented_boxes_are_selected_by_their_own_overlap() -> None:
    boxes = np.array([[0, 5, 20, 15], [0, 5, 20, 15]], np.float32)
    scores = np.array([[0.9], [0.8]], np.float32)
    crossed = Detections(boxes, scores, angles=np.array([0, np.pi / 2], np.float32))
    assert len(select(crossed, nms=True, overlap=0.7).rows) == 2
    assert len(select(Detections(boxes, scores), nms=True, overlap=0.7).rows) == 1
