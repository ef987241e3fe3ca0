"""How far two sets of detections lie apart: what proves that a graph still finds the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from host.decoding.contract import Decode
from host.decoding.decoder import Detections, decode

Array = NDArray[np.float32]

COORDINATES = 1e-3
"""Of the longer side of the input: boxes, keypoints; and radians of angles."""
SCORES = 1e-4


@dataclass(frozen=True)
class Distance:
    """The largest differences."""

    coordinates: float
    """Of boxes and keypoints, as a share of the longer side of the input; of angles in radians."""
    scores: float
    """Of scores and visibilities, in 0..1."""
    masks: float
    """Of mask coefficients and prototypes."""

    @property
    def same(self) -> bool:
        """Whether both find the same; not a number is never the same."""
        return self.coordinates <= COORDINATES and self.scores <= SCORES and self.masks <= COORDINATES


APART = Distance(np.inf, np.inf, np.inf)


def same(expected: Decode, outputs: Mapping[str, Array], found: Decode, others: Mapping[str, Array]) -> bool:
    """Whether two sets of outputs hold the same detections. Anchors that are not known count as one pixel."""
    if not (expected.known and found.known):
        ones = tuple(((1.0, 1.0),) * len(of_stride) for of_stride in found.anchors)
        expected, found = replace(expected, anchors=ones), replace(found, anchors=ones)
    mine, theirs = decode(outputs, expected), decode(others, found)
    return distance(mine, theirs, expected.input_size).same


def distance(expected: Detections, found: Detections, input_size: tuple[int, int]) -> Distance:
    """Compare candidates in order; `expected` may also be a chosen few (rows of an NMS-free export)."""
    if expected.scores.shape[1] != found.scores.shape[1]:
        return APART
    if len(expected.scores) < len(found.scores):
        found = _chosen(expected, found)
    if expected.scores.shape != found.scores.shape:
        return APART
    side = max(*input_size, 1)
    points, visible = _keypoints(expected, found, side)
    boxes = _apart(expected.boxes, found.boxes, side)
    angles = _apart(expected.angles, found.angles)
    masks = max(
        _apart(mine, other, 1)
        for mine, other in ((expected.masks, found.masks), (expected.prototypes, found.prototypes))
    )
    return Distance(max(boxes, points, angles), max(_apart(expected.scores, found.scores), visible), masks)


def _keypoints(expected: Detections, found: Detections, side: float) -> tuple[float, float]:
    """The differences of points and of visibilities."""
    mine, other = expected.keypoints, found.keypoints
    if mine is None or other is None:
        return _apart(mine, other), 0
    return _apart(mine[..., :2], other[..., :2], side), _apart(mine[..., 2:], other[..., 2:])


def _apart(expected: Array | None, found: Array | None, unit: float = 0) -> float:
    """The largest difference; with a unit, as a share of it, or of the value itself where that is larger."""
    if expected is None or found is None:
        return 0.0 if expected is found else np.inf
    if expected.shape != found.shape:
        return np.inf
    with np.errstate(invalid="ignore"):  # random weights can make infinite boxes: they prove nothing
        gaps = np.abs(expected - found) / (np.maximum(np.abs(expected), unit) if unit else 1)
    return float(gaps.max(initial=0))


def _chosen(rows: Detections, candidates: Detections) -> Detections:
    """For each row the candidate that is most like it: the exporter chose from them.

    A row holds one class only, so the candidate's other scores are left out.
    """
    labels = rows.scores.argmax(axis=1)
    picked = []
    for row, label in enumerate(labels):
        gaps = np.abs(candidates.scores[:, label] - rows.scores[row, label])
        near = np.flatnonzero(gaps <= max(SCORES, gaps.min()))
        picked.append(near[np.abs(candidates.boxes[near] - rows.boxes[row]).max(axis=1).argmin()])
    scores = np.zeros_like(rows.scores)
    every = np.arange(len(picked))
    scores[every, labels] = candidates.scores[picked, labels]
    return Detections(
        boxes=candidates.boxes[picked],
        scores=scores,
        keypoints=None if candidates.keypoints is None else candidates.keypoints[picked],
        angles=None if candidates.angles is None else candidates.angles[picked],
        masks=None if candidates.masks is None else candidates.masks[picked],
        prototypes=candidates.prototypes,
    )
