"""A dead output is found, and a healthy one is not called dead: both are expensive mistakes."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from host.graph.channels import Group, Layout
from host.quality.compare import Checks, compare, explain
from shared.faults import Fault

Array = NDArray[Any]
RNG = np.random.default_rng(0)
HEAD = Layout(1, (Group(0, 4, False), Group(4, 84, True)))


def int8(values: Array) -> Array:
    """What one int8 scale over the whole array leaves of it."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (high - low) / 255
    return np.asarray(np.round(values / scale) * scale, np.float32)


def check(simulated: Array, reference: Array, layout: Layout, bits: int | None = 8) -> Checks:
    return compare([simulated], {"y": reference}, {"y": layout}, bits)


def dead(checks: Checks) -> list[tuple[int, int, str]]:
    return [(g.start, g.stop, g.dead) for output in checks.outputs for g in output.dead_groups]


def head(pixels: float, top_score: float) -> Array:
    """[4 images, 1, 84, 200]: boxes up to `pixels`, scores up to `top_score`."""
    boxes = RNG.random((4, 1, 4, 200)) * pixels
    scores = RNG.random((4, 1, 80, 200)) ** 4 * top_score
    return np.concatenate([boxes, scores], axis=2).astype(np.float32)


@pytest.mark.parametrize("top_score", [0.95, 0.0002])
def test_raw_head_is_dead_in_int8(top_score: float) -> None:
    """Trained or not: at 640 pixels one scale leaves nothing of the scores."""
    reference = head(640, top_score)
    checks = check(int8(reference), reference, HEAD)
    assert checks.verdict == "dead" and dead(checks) == [(4, 84, "constant")]
    output = checks.outputs[0]
    assert output.cosine is not None and output.cosine > 0.999  # what the judgement must not trust
    assert output.groups[1].cosine == 0 and output.constant_channels == 80
    text = explain(checks)
    assert "channels 4 to 83" in text and "one scale" in text and "\n" not in text


def test_lone_channel_is_no_range() -> None:
    reference = np.concatenate([ramp(0, 640), ramp(0, 1)], axis=2)
    checks = check(int8(reference), reference, Layout(1, (Group(0, 1, False), Group(1, 2, True))))
    assert "all values of channel 1 never change" in explain(checks)


def test_scores_of_a_few_levels_are_as_dead_as_zeros() -> None:
    reference = head(320, 0.95)
    checks = check(int8(reference), reference, HEAD)
    assert len(np.unique(int8(reference)[:, :, 4:])) == 2
    assert dead(checks) == [(4, 84, "coarse")]


def test_raw_head_lives_in_float16() -> None:
    for top_score in (0.95, 0.0002):
        reference = head(640, top_score)
        assert check(reference.astype(np.float16).astype(np.float32), reference, HEAD, None).verdict == "ok"


def test_normalised_boxes_keep_the_scores_alive() -> None:
    reference = head(1, 0.95)
    checks = check(int8(reference), reference, HEAD)
    assert checks.verdict == "ok" and not explain(checks)


def test_images_without_objects_are_no_death() -> None:
    """A score branch with its own 0..1 scale rounds 0.001 to 0, as it should."""
    reference = (RNG.random((4, 1, 1, 20, 20)) * 0.001).astype(np.float32)
    checks = check(np.zeros_like(reference), reference, Layout(1, (Group(0, 1, True),)))
    assert checks.verdict == "ok" and checks.outputs[0].constant_channels == 1


def test_objects_that_vanish_from_a_branch_are_death() -> None:
    reference = (RNG.random((4, 1, 1, 20, 20)) * 0.9).astype(np.float32)
    checks = check(np.zeros_like(reference), reference, Layout(1, (Group(0, 1, True),)))
    assert dead(checks) == [(0, 1, "constant")]
    assert "one scale" not in explain(checks)


def test_classes_that_do_not_occur_are_no_death() -> None:
    reference = (RNG.random((4, 1, 80, 20, 20)) * 0.001).astype(np.float32)
    reference[:, :, :3] *= 900
    simulated = np.round(reference * 255) / 255
    checks = check(simulated, reference, Layout(1, (Group(0, 80, True),)))
    assert checks.verdict == "ok" and checks.outputs[0].constant_channels == 77


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def test_classifier_that_meets_one_class_is_alive() -> None:
    logits = RNG.standard_normal((4, 1, 1000))
    logits[..., 7] = [[12], [13], [14], [15]]
    reference = softmax(logits)
    simulated = np.zeros_like(reference)
    simulated[..., 7] = 1  # saturated: every channel stands still
    assert check(simulated, reference, Layout(1, (Group(0, 1000, True),))).verdict == "ok"


def test_classifier_that_gives_one_answer_to_all_is_dead() -> None:
    logits = np.zeros((4, 1, 10))
    logits[[0, 1, 2, 3], 0, [1, 2, 3, 4]] = 8
    frozen = np.zeros((4, 1, 10), np.float32)
    frozen[..., 1] = 1
    assert check(frozen, softmax(logits), Layout(1, (Group(0, 10, True),))).verdict == "dead"


def test_untrained_head_that_hardly_moves_is_alive() -> None:
    reference = (2 + 1e-6 * RNG.random((4, 1, 64, 8, 8))).astype(np.float32)
    checks = check(np.full_like(reference, 2), reference, Layout(1, (Group(0, 64, False),)))
    assert checks.verdict == "ok"


@pytest.mark.parametrize("layout", [Layout(1, (Group(0, 64, False),)), Layout(1, (Group(0, 64, True),))])
def test_output_that_is_zero_in_both_is_alive(layout: Layout) -> None:
    zeros = np.zeros((4, 1, 64, 8), np.float32)
    assert check(zeros, zeros, layout).verdict == "ok"


def test_features_lost_to_a_constant_are_dead() -> None:
    reference = RNG.standard_normal((4, 1, 64, 8, 8)).astype(np.float32)
    checks = check(np.zeros_like(reference), reference, Layout(1, (Group(0, 64, False),)))
    assert dead(checks) == [(0, 64, "constant")]


def test_overflow_is_reported_and_stays_json() -> None:
    reference = RNG.standard_normal((2, 1, 4, 8)).astype(np.float32)
    simulated = reference.copy()
    simulated[0, 0, 2, 3] = np.inf
    checks = check(simulated, reference, Layout(1, (Group(0, 2, False), Group(2, 4, False))), None)
    assert dead(checks) == [(2, 4, "not finite")]
    document = json.loads(json.dumps(checks.to_json(), allow_nan=False))
    assert document["verdict"] == "dead" and document["outputs"][0]["cosine"] is None
    assert "NaN or infinite" in explain(checks)


def test_labels_are_compared_by_agreement() -> None:
    layout = Layout(1, (Group(0, 1, False),))
    background = np.zeros((4, 1, 1, 8, 8), np.float32)
    few, most = np.zeros((4, 1, 1, 8, 8), np.int64), np.ones((4, 1, 1, 8, 8), np.int64)
    few[0, 0, 0, 0, 0] = 3
    most[0, 0, 0, 0, 0] = 3
    assert check(background, few, layout).verdict == "ok"
    assert check(background, most, layout).verdict == "dead"
    assert check(background, most > 0, layout).verdict == "dead"
    assert check(most > 0, most > 0, layout).outputs[0].step == 0


SCORES, FEATURES = (Layout(1, (Group(0, 1, unit),)) for unit in (True, False))


def ramp(low: float, high: float, count: int = 200) -> Array:
    """[1 image, 1, 1, count] values from `low` to `high`."""
    return np.linspace(low, high, count, dtype=np.float32).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("top", "death"), [(0.24, ""), (0.26, "constant")], ids=["below the usual threshold", "above it"]
)
def test_scores_that_vanish_are_death_if_a_program_would_have_seen_them(top: float, death: str) -> None:
    reference = ramp(0, top)
    assert check(np.zeros_like(reference), reference, SCORES).outputs[0].groups[0].dead == death


@pytest.mark.parametrize(("low", "death"), [(0.985, ""), (0.9835, "constant")])
def test_output_that_moves_by_less_than_four_steps_says_nothing(low: float, death: str) -> None:
    reference = ramp(low, 1)
    assert check(np.ones_like(reference), reference, FEATURES).outputs[0].groups[0].dead == death


@pytest.mark.parametrize(("moves", "death"), [(0.24, ""), (0.26, "constant")])
def test_channels_frozen_apart_are_dead_if_one_should_have_moved(moves: float, death: str) -> None:
    reference = np.concatenate([ramp(0, moves), ramp(1, 1)], axis=2)
    frozen = np.concatenate([ramp(0, 0), ramp(1, 1)], axis=2)
    layout = Layout(1, (Group(0, 2, False),))
    assert check(frozen, reference, layout).outputs[0].groups[0].dead == death


@pytest.mark.parametrize(
    ("step", "levels", "death"), [(0.2498, 256, ""), (0.2502, 256, "coarse"), (0.2502, 257, "")]
)
def test_steps_are_coarse_from_the_usual_threshold_on(step: float, levels: int, death: str) -> None:
    """255 steps lie between the 256 values of 8 bits; an output with more values was left in float."""
    simulated = ramp(0, 255 * step, levels)
    found = check(simulated, ramp(0, 1, levels), SCORES).outputs[0]
    assert found.groups[0].dead == death
    assert found.step == (pytest.approx(step) if levels == 256 else 0)


@pytest.mark.parametrize(("wrong", "death"), [(5, ""), (6, "constant")])
def test_frozen_labels_are_dead_if_most_are_wrong(wrong: int, death: str) -> None:
    reference = (np.arange(10) < wrong).astype(np.int64).reshape(1, 1, 1, 10)
    assert check(np.zeros_like(reference), reference, FEATURES).outputs[0].groups[0].dead == death


def test_equal_outputs_have_no_error() -> None:
    reference = head(1, 1)
    output = check(reference, reference, HEAD, None).outputs[0]
    assert output.cosine == pytest.approx(1) and (output.max_error, output.mean_error) == (0, 0)
    assert output.shape == (1, 84, 200) and output.step == 0


def test_outputs_of_another_model_are_a_fault() -> None:
    reference = head(1, 1)
    with pytest.raises(Fault, match="2 outputs"):
        compare([reference, reference], {"y": reference}, {"y": HEAD}, 8)
    with pytest.raises(Fault, match="'y'"):
        check(reference[..., :-1], reference, HEAD)
