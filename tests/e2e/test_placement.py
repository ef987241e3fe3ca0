"""Where operators of real builds run, what a board would refuse, and rules of the toolkit that crash."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx import ModelProto

from shared import chips
from tests import models
from tests.conftest import Command, Ended
from tests.e2e.conftest import FILES, cause, contents, earlier_result

pytestmark = pytest.mark.toolkit
NEWEST = chips.toolkit("toolkit2").versions[0]
KNOWN = chips.toolkit("toolkit2").regressions[NEWEST]
SPLIT, ATTENTION = KNOWN


def convert(run: Command, proto: ModelProto, folder: Path, *arguments: str) -> Ended:
    """Convert a graph as it is for rk3588 in fp16, unless `arguments` say otherwise, into out/."""
    models.save(proto, folder / "m.onnx")
    asked = ("--model", "m.onnx", "--engine", "local", "--head", "raw", "--output", "out", "--json")
    return run("convert", *asked, *(() if "--chip" in arguments else ("--chip", "rk3588")), *arguments)


def report(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "report.json").read_text()))


@pytest.mark.parametrize("version", chips.toolkit("toolkit2").versions)
def test_every_version_tells_where_operators_run(rkforge: Command, tmp_path: Path, version: str) -> None:
    arguments = ("--toolkit-version", version, "--variant", "slim")
    ended = convert(rkforge, models.transposed(), tmp_path, *arguments, "--chip", "rk3566")
    assert ended.status == 0, ended.stderr
    (placed,) = ended.document["placements"]
    assert placed["targets"] == {"NPU": 1, "CPU": 1}
    assert [each["op"] for each in placed["fallbacks"]] == ["Transpose"]
    assert [each["target"] for each in placed["operators"]] == ["NPU", "CPU"]
    assert placed["internal_kb"] > 100 and placed["weight_kb"] > 0
    assert "operators: 1 on the NPU, 1 on the CPU" in ended.stderr
    assert "on the CPU: Transpose" in ended.stderr
    assert report(tmp_path)["placement"]["operators"] == placed["operators"]


def test_what_the_board_cannot_run_is_refused_until_allowed(rkforge: Command, tmp_path: Path) -> None:
    before = earlier_result(tmp_path / "out")
    ended = convert(rkforge, models.transposed(), tmp_path, "--chip", "rv1106")
    text = cause(ended, 7, "placement")
    assert "Transpose (" in text and "--head branches" in text and "--allow-cpu" in text
    assert contents(tmp_path / "out") == before
    assert ended.document["placements"][0]["verdict"] == "missing"

    ended = convert(rkforge, models.transposed(), tmp_path, "--chip", "rv1106", "--allow-cpu")
    assert ended.status == 0, ended.stderr
    assert ended.document["cache"] == "hit"
    assert "kept although it will not run there" in ended.stderr
    assert set(contents(tmp_path / "out")) == FILES


def test_small_enough_for_the_npu_is_not_refused(rkforge: Command, tmp_path: Path) -> None:
    ended = convert(rkforge, models.transposed(side=32), tmp_path, "--chip", "rv1106")
    assert ended.status == 0, ended.stderr
    assert ended.document["placements"][0]["fallbacks"] == []


def test_plain_model_is_fine_on_every_chip_that_judges(rkforge: Command, tmp_path: Path) -> None:
    judging = [chip.name for chip in chips.chips().values() if chip.cpu_ops is not None]
    assert {"rv1103", "rv1106", "rv1103b", "rv1106b", "rk2118"} == set(judging)
    ended = convert(rkforge, models.conv(), tmp_path, "--chip", ",".join(judging))
    assert ended.status == 0, ended.stderr
    assert {each["verdict"] for each in ended.document["placements"]} == {"ok"}


@pytest.mark.parametrize(
    ("make", "left_out"),
    [
        (models.distances_head, [SPLIT]),
        (models.attention, [SPLIT, ATTENTION]),
        (lambda: models.attention(turned=False), [SPLIT]),
        (lambda: models.attention(mask=True), [SPLIT]),
        (models.padded, [SPLIT]),
        (models.normalised, [SPLIT]),
    ],
)
def test_first_attempt_works(rkforge: Command, tmp_path: Path, make: Any, left_out: list[str]) -> None:
    ended = convert(rkforge, make(), tmp_path)
    assert ended.status == 0, ended.stderr
    told = report(tmp_path)
    assert told["retries"] == []
    assert told["left_out"] == {rule: KNOWN[rule].why for rule in left_out}
    record = yaml.safe_load((tmp_path / "out" / "rknn_source.yaml").read_text())
    assert record["toolkit"]["config"]["disable_rules"] == left_out


def test_fusion_that_does_good_stays(rkforge: Command, tmp_path: Path) -> None:
    ended = convert(rkforge, models.attention(scale=True), tmp_path)
    assert ended.status == 0, ended.stderr
    assert "exSDPAttention" in [each["op"] for each in ended.document["placements"][0]["operators"]]


def test_spelling_lets_the_rules_do_their_work(rkforge: Command, tmp_path: Path) -> None:
    ended = convert(rkforge, models.padded(), tmp_path)
    assert ended.status == 0, ended.stderr
    assert "Pad" not in [each["op"] for each in ended.document["placements"][0]["operators"]]
    ended = convert(rkforge, models.normalised(), tmp_path)
    assert ended.status == 0, ended.stderr
    assert "LayerNormalization" not in [each["op"] for each in ended.document["placements"][0]["fallbacks"]]


@pytest.mark.parametrize(
    ("make", "crashing"), [(models.distances_head, SPLIT), (models.attention, ATTENTION)], ids=KNOWN
)
def test_rules_of_the_table_do_crash(rkforge: Command, tmp_path: Path, make: Any, crashing: str) -> None:
    """The user's empty list leaves all rules in; the harness leaves the crashing one out after the crash."""
    ended = convert(rkforge, make(), tmp_path, "--set", "disable_rules=[]")
    assert ended.status == 0, ended.stderr
    told = report(tmp_path)
    assert told["left_out"] == {}
    (retry,) = told["retries"]
    assert retry["config"] == {"disable_rules": [crashing]} and crashing in retry["reason"]
    record = yaml.safe_load((tmp_path / "out" / "rknn_source.yaml").read_text())
    assert record["toolkit"]["config"]["disable_rules"] == [crashing]
    assert ended.document["checks"][0]["outputs"][0]["cosine"] > 0.999


def test_rule_of_the_user_is_left_out_besides(rkforge: Command, tmp_path: Path) -> None:
    ended = convert(rkforge, models.attention(), tmp_path, "--set", "disable_rules=[fuse_two_dataconvert]")
    assert ended.status == 0, ended.stderr
    told = report(tmp_path)
    assert list(told["left_out"]) == [SPLIT, ATTENTION, "fuse_two_dataconvert"]
    assert told["left_out"]["fuse_two_dataconvert"] == "asked for with --set"
