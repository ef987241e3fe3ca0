"""Channel groups seen from values: what tells scores from boxes when there is no graph to ask."""

import numpy as np
import pytest
from numpy.typing import NDArray

from host.quality.compare import compare
from host.quality.observed import observed_layouts

IMAGES, CELLS = 3, 50


def detections(last: bool) -> NDArray[np.float32]:
    """Boxes of 4 numbers in pixels and 10 scores: [images, 1, cells, 14], or channels first."""
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 640, (IMAGES, 1, CELLS, 4)), rng.uniform(0, 1, (IMAGES, 1, CELLS, 10))
    both = np.concatenate([boxes, scores], axis=-1).astype(np.float32)
    return both if last else both.swapaxes(2, 3)


@pytest.mark.parametrize("last", [True, False])
def test_scores_are_told_from_boxes(last: bool) -> None:
    layout = observed_layouts({"o": detections(last)})["o"]
    assert layout.axis == (2 if last else 1)
    assert [(group.start, group.stop, group.unit) for group in layout.groups] == [
        (0, 4, False),
        (4, 14, True),
    ]


def test_scores_that_died_beside_boxes_are_noticed() -> None:
    expected = detections(True)
    lost = expected.copy()
    lost[..., 4:] = 0
    layouts = observed_layouts({"o": expected})
    assert compare([lost], {"o": expected}, layouts, 8).verdict == "dead"
    assert compare([expected], {"o": expected}, layouts, 8).verdict == "ok"


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1, 80, 40, 40), 1), ((1, 40, 40, 80), 3), ((1, 30, 40, 3), 3), ((1, 1000), 1), ((7,), 0), ((), 0)],
)
def test_one_kind_is_one_group(shape: tuple[int, ...], axis: int) -> None:
    values = np.random.default_rng(0).normal(0, 3, (IMAGES, *shape)).astype(np.float32)
    layout = observed_layouts({"o": values})["o"]
    assert layout.axis == axis and len(layout.groups) == 1
    assert compare([values], {"o": values}, {"o": layout}, 8).verdict == "ok"
