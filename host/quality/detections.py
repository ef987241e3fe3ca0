"""Whether a converted detector still finds what its model finds, and a classifier still says the same.

Outputs that look alike may decode to boxes that do not, and a head that was cut has other outputs than its
source: so both are decoded, and their boxes are compared after the same selection.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from host.decoding.decoder import Detections
from host.decoding.select import OVERLAP, Boxes, iou, select

BEST = 100
"""Candidates of one image whose boxes and scores are compared directly."""


@dataclass(frozen=True)
class Agreement:
    """How two decoders' results compare over all images; what cannot be told is None."""

    images: int
    expected: int
    """Boxes that the float model finds; images for a classifier."""
    found: int
    """Those of them that the file finds too: same class, and an IoU of 0.5 or more."""
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


def compare_classes(expected: Sequence[Detections], found: Sequence[Detections]) -> Agreement:
    """Compare a classifier's answers: `found` counts those with the same best class."""
    pairs = [(mine.scores[0], other.scores[0]) for mine, other in zip(expected, found, strict=True)]
    best = [int(mine.argmax()) for mine, _ in pairs]
    same = sum(int(other.argmax()) == label for label, (_, other) in zip(best, pairs, strict=True))
    gaps = [abs(float(mine[label] - other[label])) for label, (mine, other) in zip(best, pairs, strict=True)]
    return Agreement(len(pairs), len(pairs), same, 0, None, None, float(np.mean(gaps)))


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
