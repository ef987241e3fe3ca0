"""The bounds of what counts as the same detections: a looser one would let a wrong reading of a head pass."""

from dataclasses import replace

import numpy as np
import pytest

from host.decoding.decoder import Detections
from host.graph.proof import Distance, distance

SIZE = (100, 50)
FOUND = Detections(
    boxes=np.array([[10, 10, 60, 40]], np.float32),
    scores=np.array([[0.5, 0.25]], np.float32),
    keypoints=np.array([[[20, 20, 0.5]]], np.float32),
    angles=np.array([0.5], np.float32),
    masks=np.array([[0.5, -0.5]], np.float32),
)
POINTS, VISIBLE = [1, 1, 0], [0, 0, 1]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("field", "bound", "part"),
    [
        ("scores", 1e-4, 1),
        ("boxes", 0.1, 1),  # pixels: a thousandth of the longer side
        ("keypoints", 0.1, POINTS),
        ("keypoints", 1e-4, VISIBLE),
        ("angles", 1e-3, 1),
        ("masks", 1e-3, 1),
    ],
)
def test_same_is_what_lies_within_the_bounds(
    field: str, bound: float, part: float | list[int], sign: int
) -> None:
    for gap, same in ((0.5 * bound, True), (2 * bound, False)):
        moved = replace(
            FOUND, **{field: getattr(FOUND, field) + np.float32(sign * gap) * np.array(part, np.float32)}
        )
        assert distance(FOUND, moved, SIZE).same == same


@pytest.mark.parametrize("field", ["coordinates", "scores", "masks"])
def test_what_is_no_number_is_never_the_same(field: str) -> None:
    assert not replace(Distance(0, 0, 0), **{field: float("nan")}).same
