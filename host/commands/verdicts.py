"""What the checks of a result say on the screen: outputs, boxes, placement."""

from collections.abc import Mapping
from typing import Any

from host.console import Screen
from host.conversion import Outcome
from host.quality import placement
from shared import chips

LOW_COSINE = 0.95
FEW = 3
"""Outputs that get a line each; of more, only the worst does."""
ESTIMATED = "estimated on the host, not the toolkit's own arithmetic"


def show_checks(outcome: Outcome, screen: Screen) -> None:
    """How outputs and boxes compare with the float model's; a line each, warnings for what is low or dead."""
    assert outcome.facts is not None
    checks = outcome.facts["checks"]
    toolkit = chips.toolkit(outcome.plan.environment.toolkit)
    if not toolkit.simulator:
        screen.warn(f"{outcome.plan.name}: the file was checked on {toolkit.checked_on}")
    if checks is None:
        screen.warn(f"{outcome.plan.name}: with nothing to compare it with, the accuracy is not known")
        return
    how = ESTIMATED if checks["estimate"] else "simulator"
    every = checks["outputs"]
    worst = min(every, key=lambda output: -1.0 if output["cosine"] is None else output["cosine"])
    for output in every if len(every) <= FEW else [worst]:
        cosine, error = output["cosine"], output["max_error"]
        which = "output" if len(every) <= FEW else f"the worst of {len(every)} outputs,"
        if cosine is None:
            screen.warn(f"{outcome.plan.name}: {which} {output['name']} is not finite ({how})")
            continue
        line = f"{outcome.plan.name}: {which} {output['name']} cosine {cosine:.5f}, max error {error:.4g}"
        line += f" against the float model on {checks['images']} held-out inputs ({how})"
        (screen.warn if cosine < LOW_COSINE else screen.say)(line)
    if checks["decoded"]:
        screen.say(f"{outcome.plan.name}: {_agreement(checks['decoded'])} ({how})")
    if checks["verdict"] == "dead" and outcome.fault is None:
        screen.warn(f"{outcome.plan.name}: kept with a dead output. {checks['explanation']}")


def show_placement(outcome: Outcome, screen: Screen) -> None:
    """What left the NPU."""
    placed = outcome.facts and outcome.facts["placement"]
    if not placed:
        return
    for line in placement.lines(placed):
        screen.say(f"{outcome.plan.name}: {line}")
    if placed["verdict"] == "missing" and outcome.fault is None:
        screen.warn(f"{outcome.plan.name}: kept although it will not run there. {placed['explanation']}")


def _agreement(decoded: Mapping[str, Any]) -> str:
    """How the decoded boxes or classes compare, as a sentence."""
    if decoded["task"] == "classify":
        return f"chooses the float model's class for {decoded['found']} of {decoded['expected']} inputs"
    if decoded["expected"]:
        overlap = "" if decoded["mean_iou"] is None else f", mean IoU {decoded['mean_iou']:.3f}"
        return (
            f"finds {decoded['found']} of the float model's {decoded['expected']} boxes{overlap}, "
            f"and {decoded['extra']} others"
        )
    if decoded["box_error"] is None:
        return "the float model finds no boxes in the held-out inputs"
    return (
        "the float model finds no boxes in the held-out inputs; its best candidates lie "
        f"{decoded['box_error']:.3g} pixels off on average, their scores {decoded['score_error']:.2g}"
    )
