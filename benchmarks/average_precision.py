"""Average precision at IoU 0.5 of detections against a known truth: the area under precision over recall."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.decoding.select import OVERLAP, Boxes, iou


def ap50(truth: Sequence[Boxes], found: Sequence[Boxes]) -> float:
    """The mean over the classes that the truth has.

    A detection is right when it overlaps a thing of its class, not yet found, by an IoU of 0.5. The truth's
    scores are not looked at.
    """
    classes = np.unique(np.concatenate([each.classes for each in truth]))
    return float(np.mean([_of_class(truth, found, kind) for kind in classes]))


def _of_class(truth: Sequence[Boxes], found: Sequence[Boxes], kind: int) -> float:
    total = sum(int((each.classes == kind).sum()) for each in truth)
    scores, right = [], []
    for wanted, given in zip(truth, found, strict=True):
        mine = given.classes == kind
        order = np.argsort(-given.scores[mine], kind="stable")
        scores += list(given.scores[mine][order])
        right += _matches(given.boxes[mine][order], wanted.boxes[wanted.classes == kind])
    hits = np.array(right, float)[np.argsort(-np.array(scores), kind="stable")]
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best_from_here))


def _matches(boxes: NDArray[Any], wanted: NDArray[Any]) -> list[bool]:
    """Whether each box, the surest first, finds something that no earlier one found."""
    overlaps = iou(boxes, wanted)
    right = []
    for row in overlaps:
        best = int(row.argmax()) if row.size else -1
        hit = best >= 0 and row[best] >= OVERLAP
        if hit:
            overlaps[:, best] = 0
        right.append(bool(hit))
    return right
