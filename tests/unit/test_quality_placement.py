"""What is said of a placement: real tables, judged by what the table says of the chips' runtimes."""

from pathlib import Path

import pytest
from onnx.helper import make_node

from host.graph.origin import origins
from host.quality import placement
from host.quality.placement import Judgement
from shared import chips
from shared.contract import Operator, Placement
from tests import models
from toolkit2 import placement as table

DATA = Path(__file__).resolve().parents[1] / "data" / "placement"
SMALL = ("rv1103", "rv1106", "rv1103b", "rv1106b")
SEEN_TO_FAIL = ("ArgMax", "AveragePool", "Min", "Pow", "Resize", "Transpose", "exNorm")
"""What users' boards refused: "unsupport cpu ... op"; docs/placement.md names the threads."""


ORIGINAL = models.model(
    [make_node("ReduceL2", ["x"], ["n_1"], name="norm_1"), make_node("Relu", ["n_1"], ["n_12"], name="relu")],
    (1, 1, 1, 1),
)


def row(op: str, target: str = "NPU", dtype: str = "INT8", traffic: int = 10) -> Operator:
    return Operator(op, f"/{op}_1", dtype, target, "1x16x64x64", "1x16x64x64", 0, 0, 0, traffic)


def judge(rows: list[Operator], chip: str = "rk3588", quantized: bool = True, **reasons: str) -> Judgement:
    of = chips.chip(chip)
    made = origins(ORIGINAL, rows)
    return placement.judge(
        Placement(rows, 1.0, 2.0, reasons), quantized, of.cpu_ops, of.toolkit.cpu_advice, made
    )


def read(name: str) -> list[Operator]:
    found = table.read((DATA / f"{name}.txt").read_text(encoding="utf-8"))
    assert found is not None
    return found.operators


@pytest.mark.parametrize("op", SEEN_TO_FAIL)
@pytest.mark.parametrize("chip", [*SMALL, "rk2118"])
def test_what_boards_refused_is_missing(chip: str, op: str) -> None:
    judged = judge([row("ConvRelu"), row(op, "CPU")], chip)
    assert [each.op for each in judged.missing] == [op]
    assert f"{op} (/{op}_1)" in judged.to_json()["explanation"]
    assert judged.to_json()["advice"].startswith(f"{op}: ")


@pytest.mark.parametrize(
    ("name", "told", "advised"),
    [
        ("n_1-rs_rsum_pow", "Pow (n_1-rs_rsum_pow, made of ReduceL2)", False),
        ("norm_1#2", "Pow (norm_1#2, made of ReduceL2)", False),
        ("n_12_pow", "Pow (n_12_pow, made of Relu)", False),
        ("n_13_pow", "Pow (n_13_pow)", True),
    ],
)
def test_what_the_compiler_made_is_traced_to_the_models_operators(
    name: str, told: str, advised: bool
) -> None:
    judged = judge([row("Pow", "CPU")._replace(name=name)], "rv1106").to_json()
    assert told in judged["explanation"]
    assert ("by itself" in judged["advice"]) == advised
    moved = judge([row("Transpose", "CPU")._replace(name=name)], "rv1106").to_json()
    assert f"Transpose ({name})" in moved["explanation"] and "--head branches for" in moved["advice"]


@pytest.mark.parametrize("chip", ["rk3588", "rk3576", "rk3566", "rk3562", "rv1126b"])
def test_large_chips_run_on_their_cpu_what_the_compiler_puts_there(chip: str) -> None:
    judged = judge([row("ConvRelu"), row("Transpose", "CPU")], chip).to_json()
    assert (judged["verdict"], judged["explanation"], judged["advice"]) == ("ok", "", "")
    assert [each["op"] for each in judged["fallbacks"]] == ["Transpose"]


@pytest.mark.parametrize("op", ["Concat", "Exp", "Gather", "Reshape", "exSoftmax13"])
def test_what_small_chips_have_is_not_missing(op: str) -> None:
    assert not judge([row("ConvRelu"), row(op, "CPU")], "rv1106").missing


def test_no_operator_on_the_cpu_is_fine_where_none_can_run() -> None:
    assert judge([row("ConvRelu")], "rk2118").to_json()["verdict"] == "ok"


def test_raw_head_at_640_is_what_the_board_refuses() -> None:
    """rv1106-yolov8's README: "unsupport cpu Transpose op" for 80 classes at 640, none at 320."""
    judged = judge(read("yolov8n-640-rv1106-2.3.2"), "rv1106")
    assert [each.op for each in judged.fallbacks] == ["Reshape", "Transpose"]
    assert [each.op for each in judged.missing] == ["Transpose"]
    assert judged.missing[0].names == ("/model.22/dfl/Reshape_1_output_0_rs",)
    assert "--head branches" in judged.to_json()["advice"]


def test_cost_is_the_part_of_the_memory_traffic() -> None:
    rows = [row("ConvRelu", traffic=60), row("Transpose", "CPU", traffic=30), row("Transpose", "CPU")]
    (found,) = judge(rows).fallbacks
    assert (found.share, len(found.names)) == (0.4, 2)
    assert placement.lines(judge(rows).to_json())[0] == (
        "operators: 1 on the NPU, 2 on the CPU; 1 kB of working memory, 2 kB of weights"
    )
    assert "Transpose x2 (40.0% of the memory traffic)" in placement.lines(judge(rows).to_json())[1]


def test_nothing_is_divided_by_nothing() -> None:
    assert judge([row("Reshape", "CPU", traffic=0)]).fallbacks[0].share == 0


def test_what_the_compiler_said_is_repeated_and_nothing_made_up() -> None:
    rows = [row("AveragePool", "CPU"), row("Exp", "CPU")]
    pool, exp = judge(rows, AveragePool="AveragePool count_include_pad=0, fallback to cpu").fallbacks
    assert pool.reason.endswith("fallback to cpu") and "count_include_pad=1" in pool.advice
    assert (exp.reason, exp.advice) == ("", "")


def test_floats_are_named_in_a_quantised_build_only() -> None:
    rows = [row("ConvRelu"), row("exSoftmax13", dtype="FLOAT16"), row("Reshape", "CPU", "FLOAT16")]
    assert [each.op for each in judge(rows).floats] == ["exSoftmax13"]
    assert judge(rows, quantized=False).floats == ()
    assert "in floats: exSoftmax13" in placement.lines(judge(rows).to_json())[-1]


def test_same_operator_in_two_formats_is_told_apart() -> None:
    rows = [row("Reshape"), row("Reshape", dtype="FLOAT16"), row("Reshape", dtype="FLOAT16")]
    (found,) = judge(rows).floats
    assert (len(found.names), found.share) == (2, 0.6667)


def test_whole_table_is_in_the_report() -> None:
    rows = read("softmax-rk3588-2.5.0")
    judged = judge(rows).to_json()
    assert [each["op"] for each in judged["operators"]] == [each.op for each in rows]
    assert judged["operators"][0]["traffic_kb"] == rows[0].traffic_kb
    assert sum(judged["targets"].values()) == len(rows)
