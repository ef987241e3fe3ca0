"""From all candidates to the detections that a program shows: their best classes, without overlapping ones.

numpy only. Copied together with contract.py and decoder.py beside a deployed model, it runs as it is.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.decoding.decoder import Detections

SCORE = 0.25
"""What counts as found."""
OVERLAP = 0.5
"""IoU above which two boxes of one class are the same thing."""
MOST = 300
"""Boxes of one image that are looked at."""


@dataclass(frozen=True)
class Boxes:
    """Selected boxes, the best first."""

    boxes: NDArray[Any]
    """[N, 4], x1 y1 x2 y2 in pixels."""
    classes: NDArray[Any]
    """[N]"""
    scores: NDArray[Any]
    """[N]"""
    rows: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))
    """[N], the candidates they are: places in the decoder's keypoints, angles and masks."""


def select(
    detections: Detections, nms: bool, threshold: float = SCORE, overlap: float = OVERLAP, most: int = MOST
) -> Boxes:
    """Take the best candidates and drop those that overlap a better one of their class.

    Args:
        detections: as decoded.
        nms: whether overlapping ones are dropped (`Decode.nms`).
        threshold: the lowest score.
        overlap: the highest IoU of two boxes of one class; of oriented boxes, ProbIoU.
        most: how many candidates are looked at.
    """
    best = detections.scores.max(axis=1, initial=0)
    rows = np.argsort(-best, kind="stable")[:most]
    rows = rows[best[rows] >= threshold]
    classes = detections.scores[rows].argmax(axis=1)
    kept = list(range(len(rows)))
    if nms:
        boxes = detections.boxes[rows]
        overlaps = (
            iou(boxes, boxes)
            if detections.angles is None
            else oriented_iou(boxes, detections.angles[rows], boxes, detections.angles[rows])
        )
        overlaps = overlaps * (classes[:, None] == classes[None])
        kept = []
        for place in range(len(rows)):
            if not (overlaps[place, kept] > overlap).any():
                kept.append(place)
    rows = rows[kept]
    return Boxes(detections.boxes[rows], classes[kept], best[rows], rows)


def iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of every box [N, 4] with every other [M, 4]: [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def oriented_iou(
    first: NDArray[Any], first_angles: NDArray[Any], second: NDArray[Any], second_angles: NDArray[Any]
) -> NDArray[Any]:
    """ProbIoU (Llerena et al., 2021) of boxes that turn: 1 - the Hellinger distance of two Gaussians."""
    ours, theirs = _spread(first, first_angles), _spread(second, second_angles)
    apart = (first[:, None, :2] + first[:, None, 2:] - second[None, :, :2] - second[None, :, 2:]) / 2
    between = (ours[:, None] + theirs[None]) / 2
    reach = np.einsum("nmi,nmij,nmj->nm", apart, np.linalg.inv(between), apart) / 8
    volumes = np.sqrt(np.linalg.det(ours)[:, None] * np.linalg.det(theirs)[None])
    likeness = np.exp(-reach) * np.sqrt(volumes / np.linalg.det(between))
    return np.asarray(1 - np.sqrt(np.clip(1 - likeness, 0, None)))


def _spread(boxes: NDArray[Any], angles: NDArray[Any]) -> NDArray[Any]:
    """The covariance of a uniform box that turns: [N, 2, 2]."""
    widths = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).astype(float)
    cos, sin = np.cos(angles), np.sin(angles)
    turn = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    return np.asarray(turn * (widths**2 / 12)[:, None] @ turn.transpose(0, 2, 1))
