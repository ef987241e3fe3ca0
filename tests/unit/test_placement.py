"""The compiler's table as real builds of every version and of several chips printed it."""

from pathlib import Path

import pytest

from shared.contract import Operator
from toolkit2 import placement

DATA = Path(__file__).resolve().parents[1] / "data" / "placement"


def log(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["2.5.0", "2.3.2", "2.3.0", "2.2.0"])
def test_table_of_every_version(version: str) -> None:
    read = placement.read(log(f"transpose-rv1106-{version}"))
    assert read is not None
    conv, transpose = ("Conv_c", "Transpose_y") if version == "2.2.0" else ("c", "y")
    weights, plane = "1x3x128x128 16x3x3x3 16", "1x16x128x128"
    assert read.operators == [
        Operator("ConvRelu", conv, "INT8", "NPU", weights, plane, 50654, 147456, 147456, 48),
        Operator("Transpose", transpose, "INT8", "CPU", plane, "1x128x128x16", 0, 0, 0, 256),
    ]
    assert read.internal_kb == 560
    assert 0 < read.weight_kb < 10


def test_column_that_only_some_chips_have() -> None:
    read = placement.read(log("average-pool-rk3576-2.5.0"))
    assert read is not None
    conv, pool = read.operators
    assert (conv.cycles, conv.traffic_kb, conv.name) == (36864, 12, "c")
    assert (pool.op, pool.target, pool.traffic_kb, pool.name) == ("AveragePool", "CPU", 64, "y")


@pytest.mark.parametrize(
    ("name", "op", "reason"),
    [
        ("average-pool-rv1106-2.5.0", "AveragePool", "AveragePool count_include_pad=0, fallback to cpu"),
        ("pad-rv1106b-2.5.0", "Pad", "Pad: RKNPU not support mode reflect, fallback CPU implement."),
    ],
)
def test_what_the_compiler_says_of_a_fallback(name: str, op: str, reason: str) -> None:
    read = placement.read(log(name))
    assert read is not None
    assert read.reasons == {op: reason}


def test_fallback_to_one_core_is_none_to_the_cpu() -> None:
    text = log("softmax-rk3588-2.5.0")
    assert "fallback to single core mode" in text
    read = placement.read(text)
    assert read is not None
    assert read.reasons == {}


def test_last_table_counts() -> None:
    read = placement.read(log("pad-rv1106b-2.5.0") + log("transpose-rv1106-2.5.0"))
    assert read is not None
    assert [each.op for each in read.operators] == ["ConvRelu", "Transpose"]


def test_lines_of_others_within_the_table_are_passed_over() -> None:
    lines = log("transpose-rv1106-2.5.0").splitlines(keepends=True)
    row = next(number for number, line in enumerate(lines) if "Transpose" in line)
    lines[row:row] = ["E RKNN: [09:55:28.809] REGTASK: a line between\n", "I rknn building done.\n"]
    assert placement.read("".join(lines)) == placement.read(log("transpose-rv1106-2.5.0"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Network Layer Information Table", "Layers"),
        ("Total Internal Memory Size", "Memory"),
        ("50654/147456/147456", "147456"),
        ("Transpose          INT8", "Transpose          "),
    ],
)
def test_table_in_another_form_is_not_guessed_at(before: str, after: str) -> None:
    text = log("transpose-rv1106-2.5.0")
    assert before in text
    assert placement.read(text.replace(before, after)) is None


@pytest.mark.parametrize("shape", ["()", "(1,3,2,2),()", "(1,4,52,52),(1,1,52,52),(1,1,52,52),..."])
def test_scalars_and_shapes_that_were_cut_off(shape: str) -> None:
    text = log("transpose-rv1106-2.5.0").replace(
        "(1,16,128,128)                           (1,128", shape + " (1,128"
    )
    read = placement.read(text)
    assert read is not None
    assert (
        read.operators[1].inputs
        == {
            "()": "()",
            "(1,3,2,2),()": "1x3x2x2 ()",
            "(1,4,52,52),(1,1,52,52),(1,1,52,52),...": "1x4x52x52 1x1x52x52 1x1x52x52 ...",
        }[shape]
    )


def test_names_with_spaces_and_without_any() -> None:
    text = log("transpose-rv1106-2.5.0").replace("Transpose:y", "Transpose:a name: b").replace("Conv:c", "")
    read = placement.read(text)
    assert read is not None
    assert [each.name for each in read.operators] == ["", "a name: b"]


def test_log_without_a_table() -> None:
    assert placement.read("I rknn building ...\nI rknn building done.\n") is None
