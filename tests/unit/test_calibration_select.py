import itertools
from pathlib import Path

import pytest

from host.calibration.select import HELD_OUT, select, spaced


def images(count: int) -> list[Path]:
    return [Path(f"{index:04}.jpg") for index in range(count)]


@pytest.mark.parametrize("found", [1, 2, 3, 4, 5, 9, 19, 20, 104, 1000])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 20, 99, 100, 5000])
def test_every_image_has_one_fate(found: int, count: int) -> None:
    choice = select(images(found), count)
    assert 1 <= len(choice.calibration) <= count
    assert 1 <= len(choice.held_out) <= HELD_OUT
    assert len(set(choice.calibration)) == len(choice.calibration)
    shared = set(choice.calibration) & set(choice.held_out)
    assert choice.reused_held_out == bool(shared)
    fates = {*choice.calibration, *choice.held_out, *choice.dropped}
    assert fates == set(images(found))
    assert not set(choice.dropped) & {*choice.calibration, *choice.held_out}


def test_choice_is_even_and_repeats() -> None:
    assert [path.stem for path in spaced(images(100), 4)] == ["0012", "0037", "0062", "0087"]
    assert select(images(1000), 100) == select(images(1000), 100)
    numbers = [int(path.stem) for path in select(images(1000), 100).calibration]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    assert min(steps) >= 9 and max(steps) <= 11


def test_few_images_calibrate_and_check() -> None:
    choice = select(images(3), 100)
    assert choice.calibration == choice.held_out == tuple(images(3))
    assert choice.reused_held_out


def test_at_most_a_fifth_is_held_out() -> None:
    choice = select(images(12), 100)
    assert (len(choice.calibration), len(choice.held_out)) == (10, 2)
