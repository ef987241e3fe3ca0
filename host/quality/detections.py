"""Whether a converted detector still finds what its model finds.

Outputs that look alike may decode to boxes that do not, and a head that was cut has other outputs than its
source: so both are decoded, and their boxes are compared after the same selection.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
BEST = 100
"""Candidates of one image whose boxes and scores are compared directly."""


@dataclass(frozen=True)
class Boxes:
    """Selected boxes, the best first: x1 y1 x2 y2 in pixels [N, 4], classes [N], scores [N]."""

    boxes: NDArray[Any]
    classes: NDArray[Any]
    scores: NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """How two decoders' results compare over all images; what cannot be told is None."""

    images: int
    expected: int
    """Boxes that the float model finds."""
    found: int
    """Those of them that the file finds too: same class, IoU of 0.5 or more."""
    extra: int
    """Boxes that only the file finds."""
    mean_iou: float | None
    """Of the boxes that both find."""
    box_error: float | None
    """Mean difference of coordinates, in pixels, of the float model's 100 best candidates per image."""
    score_error: float | None
    """Mean difference of these candidates' best scores."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the fields above."""
        return asdict(self)


def compare(expected: Sequence[Detections], found: Sequence[Detections], nms: bool) -> Agreement:
    """Compare decoded outputs, image by image; `nms` as in `Decode`."""
    overlaps: list[float] = []
    counts = np.zeros(3, int)
    gaps: list[tuple[float, float]] = []
    for mine, other in zip(expected, found, strict=True):
        wanted, given = select(mine, nms), select(other, nms)
        matched = _matches(wanted, given)
        overlaps += matched
        counts += (len(wanted.scores), len(matched), len(given.scores) - len(matched))
        if mine.scores.shape == other.scores.shape and mine.scores.size:
            gaps.append(_gap(mine, other))
    box, score = np.mean(gaps, axis=0).tolist() if gaps else (None, None)
    return Agreement(
        images=len(expected),
        expected=int(counts[0]),
        found=int(counts[1]),
        extra=int(counts[2]),
        mean_iou=float(np.mean(overlaps)) if overlaps else None,
        box_error=box,
        score_error=score,
    )


def select(detections: Detections, nms: bool, threshold: float = SCORE) -> Boxes:
    """The candidates that a program would show: each with its best class, at most 300, overlaps removed."""
    best = detections.scores.max(axis=1, initial=0)
    order = np.argsort(-best, kind="stable")[:MOST]
    order = order[best[order] >= threshold]
    boxes, classes = detections.boxes[order], detections.scores[order].argmax(axis=1)
    kept = list(range(len(order)))
    if nms:
        overlap = iou(boxes, boxes) * (classes[:, None] == classes[None])
        kept = []
        for place in range(len(order)):
            if not (overlap[place, kept] > OVERLAP).any():
                kept.append(place)
    return Boxes(boxes[kept], classes[kept], best[order][kept])


def iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of every box [N, 4] with every other [M, 4]: [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def _matches(wanted: Boxes, given: Boxes) -> list[float]:
    """The IoU of every wanted box that has a partner of its class; each given box serves once."""
    overlap = iou(wanted.boxes, given.boxes) * (wanted.classes[:, None] == given.classes[None])
    matched = []
    for row in overlap:
        place = int(row.argmax()) if row.size else 0
        if row.size and row[place] >= OVERLAP:
            matched.append(float(row[place]))
            overlap[:, place] = 0
    return matched


def _gap(expected: Detections, found: Detections) -> tuple[float, float]:
    scores = expected.scores.max(axis=1)
    best = np.argsort(-scores, kind="stable")[:BEST]
    labels = expected.scores[best].argmax(axis=1)
    boxes = np.abs(expected.boxes[best] - found.boxes[best]).mean()
    return float(boxes), float(np.abs(scores[best] - found.scores[best, labels]).mean())
