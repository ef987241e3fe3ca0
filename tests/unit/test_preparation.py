"""`invoke prepare` leaves a graph and a list of its changes, for every chip, and nothing when it fails."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from host.commands import prepare
from host.console import Screen
from host.settings import Settings
from host.sources.onnx.interface import static_shape
from host.steps import models as prepared_models
from shared.faults import Fault
from tests import models


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return models.save(models.distances_head(), Path("head.onnx"))


def run(capsys: pytest.CaptureFixture[str], as_json: bool = True, **fields: Any) -> Any:
    assert prepare.run(Settings(**fields), Screen(), as_json) == 0
    out = capsys.readouterr().out
    return json.loads(out)["prepared"] if as_json else out


def test_every_chip_gets_its_graph_and_its_changes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = run(capsys, chips=("rv1106", "rk3588"), models=(model,))
    assert first["path"] == "out/head/rv1106-int8/prepared.onnx"
    for made, rank in ((first, 4), (second, 3)):
        proto = onnx.load(made["path"])
        onnx.checker.check_model(proto)
        assert len(static_shape(proto.graph.output[0])) == rank
        listed = json.loads(Path(made["path"]).with_suffix(".json").read_text())
        assert listed["changes"] == made["changes"]
        assert listed["decode"]["outputs"][0]["shape"] == list(static_shape(proto.graph.output[0]))
    by_first, by_second = ({change["by"] for change in made["changes"]} for made in (first, second))
    assert by_first - by_second == {"outputs-4d"}


def test_chips_share_what_is_read_and_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = models.save(models.conv(shape=("batch", 3, 32, 32)), Path("m.onnx"))
    counted: list[object] = []

    def counting(*arguments: Any) -> Any:
        counted.append(arguments)
        return make(*arguments)

    make = prepared_models.make
    monkeypatch.setattr(prepared_models, "make", counting)
    wanted = ("rk3588", "rk3576", "rk3566", "rv1106", "rv1126")
    assert prepare.run(Settings(chips=wanted, models=(model,)), Screen(), as_json=True) == 0
    shown = capsys.readouterr()
    assert [each["chip"] for each in json.loads(shown.out)["prepared"]] == [*wanted]
    assert shown.err.count("batch fixed to 1") == 1
    assert len(counted) == 3


def test_changes_are_listed_for_people(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, as_json=False, chips=("rv1106",), models=(model,), output=Path("to/f.onnx"))
    assert out.startswith("to/f.onnx  int8 for rv1106\n")
    assert "outputs-4d: outputs in four dimensions: y" in out
    assert sorted(path.name for path in Path("to").iterdir()) == ["f.json", "f.onnx"]


def test_chip_without_int8_gets_what_it_has(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = run(capsys, chips=("rk2118",), models=(model,))
    assert made["dtype"] == "fp16"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"chips": ("rk3588", "rv1106"), "output": Path("f.onnx")}, "output-invalid"),
        ({"chips": ("rk3588",), "head": "branches"}, "head-unknown"),
        ({"chips": ("rv1106",), "dtype": "fp16"}, "dtype-unsupported"),
    ],
)
def test_refusals_leave_nothing(model: Path, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Fault) as caught:
        prepare.run(Settings(models=(model,), **fields), Screen(), as_json=False)
    assert caught.value.code == code
    assert not list(Path().rglob("prepared.*")) and not Path("f.onnx").exists()
