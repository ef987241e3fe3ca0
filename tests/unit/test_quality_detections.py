"""Two sets of detections are compared as a program would see them."""

import numpy as np
import pytest

from host.decoding.decoder import Detections
from host.decoding.select import iou, select
from host.quality.detections import compare, compare_classes


def detections(*rows: tuple[float, float, float, float, int, float], classes: int = 3) -> Detections:
    """Rows of x1 y1 x2 y2, class and score."""
    scores = np.zeros((len(rows), classes), np.float32)
    for number, row in enumerate(rows):
        scores[number, int(row[4])] = row[5]
    return Detections(np.array([row[:4] for row in rows], np.float32).reshape(-1, 4), scores)


A = (0.0, 0.0, 10.0, 10.0, 0, 0.9)
A_AGAIN = (1.0, 0.0, 11.0, 10.0, 0, 0.8)
B = (50.0, 50.0, 90.0, 70.0, 1, 0.6)
FAINT = (200.0, 200.0, 220.0, 220.0, 2, 0.1)


def test_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    assert iou(boxes[:1], boxes)[0] == pytest.approx([1, 1 / 3, 0])
    assert iou(boxes, np.zeros((0, 4))).shape == (3, 0)


def test_selection_drops_faint_and_overlapping_boxes() -> None:
    chosen = select(detections(B, A_AGAIN, A, FAINT), nms=True)
    assert chosen.scores == pytest.approx([0.9, 0.6])
    assert chosen.classes.tolist() == [0, 1]
    assert chosen.boxes[0].tolist() == [0, 0, 10, 10]


def test_overlapping_boxes_of_two_classes_both_stay() -> None:
    other = (*A_AGAIN[:4], 1, 0.8)
    assert len(select(detections(A, other), nms=True).scores) == 2


def test_heads_that_choose_themselves_keep_all() -> None:
    assert len(select(detections(A, A_AGAIN), nms=False).scores) == 2


def test_equal_detections_agree() -> None:
    both = detections(A, B, FAINT)
    result = compare([both, both], [both, both], nms=True)
    assert (result.images, result.expected, result.found, result.extra) == (2, 4, 4, 0)
    assert (result.mean_iou, result.box_error, result.score_error) == (1, 0, 0)


def test_lost_moved_and_invented_boxes_are_counted() -> None:
    moved = (2.0, 0.0, 12.0, 10.0, 0, 0.7)
    invented = (300.0, 300.0, 340.0, 340.0, 2, 0.5)  # where the model has a faint one
    result = compare([detections(A, B, FAINT)], [detections(moved, (*B[:4], 1, 0.0), invented)], nms=True)
    assert (result.expected, result.found, result.extra) == (2, 1, 1)
    assert result.mean_iou == pytest.approx(80 / 120)
    assert result.score_error == pytest.approx((0.2 + 0.6 + 0.4) / 3)


def test_a_box_of_another_class_is_not_the_same() -> None:
    result = compare([detections(A)], [detections((*A[:4], 1, 0.9))], nms=True)
    assert (result.found, result.extra, result.mean_iou) == (0, 1, None)


def test_score_that_went_to_another_class_is_an_error() -> None:
    result = compare([detections(A)], [detections((*A[:4], 1, 0.9))], nms=True)
    assert result.score_error == pytest.approx(0.9)


@pytest.mark.parametrize(("height", "found"), [(5.0, 1), (4.9, 0)])
def test_boxes_are_the_same_from_half_an_overlap_on(height: float, found: int) -> None:
    lower = (0.0, 0.0, 10.0, height, 0, 0.9)
    assert compare([detections(A)], [detections(lower)], nms=True).found == found


def test_one_box_does_not_serve_twice() -> None:
    apart = (4.0, 0.0, 14.0, 10.0, 0, 0.8)
    between = (2.0, 0.0, 12.0, 10.0, 0, 0.9)
    result = compare([detections(A, apart)], [detections(between)], nms=True)
    assert (result.expected, result.found, result.extra) == (2, 1, 0)


def test_dead_scores_find_nothing_and_do_not_fail() -> None:
    dead = detections((*A[:4], 0, 0.0), (*B[:4], 1, 0.0))
    result = compare([detections(A, B)], [dead], nms=True)
    assert (result.expected, result.found, result.extra, result.mean_iou) == (2, 0, 0, None)
    assert result.score_error == pytest.approx(0.75)


def test_other_candidates_are_compared_by_what_they_find() -> None:
    result = compare([detections(A)], [detections(FAINT, A, FAINT)], nms=False)
    assert (result.found, result.extra, result.box_error, result.score_error) == (1, 0, None, None)


def test_classifiers_are_compared_by_their_best_class() -> None:
    def answer(*scores: float) -> Detections:
        return Detections(np.zeros((1, 4), np.float32), np.array([scores], np.float32))

    result = compare_classes(
        [answer(0.1, 0.7, 0.2), answer(0.5, 0.3, 0.2)], [answer(0.2, 0.6, 0.2), answer(0.3, 0.4, 0.3)]
    )
    assert (result.images, result.expected, result.found) == (2, 2, 1)
    assert result.score_error == pytest.approx(0.15)
    assert result.mean_iou is None


def test_nothing_to_find() -> None:
    result = compare([detections(FAINT)], [detections(FAINT)], nms=True)
    assert (result.expected, result.found, result.extra, result.mean_iou) == (0, 0, 0, None)
