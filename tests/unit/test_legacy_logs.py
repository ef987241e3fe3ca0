"""Lines of rknn-toolkit 1.7.5's log as documents and reports quote them, and what rkforge makes of them."""

import re
from pathlib import Path

import pytest

from legacy import logs

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK = """E Catch exception when building RKNN model!
E Traceback (most recent call last):
E   File "rknn/api/rknn_base.py", line 601, in rknn.api.rknn_base.RKNNBase.build
E KeyError: '378'
E During handling of the above exception, another exception occurred:
E Traceback (most recent call last):
E   File "rknn/base/RKNNlib/app/exporter/casegenerator.py", line 98, in generate
E {last}
E Please feedback the detailed log file <log_feedback_to_the_rknn_toolkit_dev_team.log> to the team.
E You can also check github issues: https://github.com/rockchip-linux/rknn-toolkit/issues
"""


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("Unsupport onnx opset 17, need <= 12!", "model-opset", "opset 17, this toolkit reads up to 12"),
        ("E ImportError: No module named 'torch'", "torch-needed", "torch"),
        ("E ModuleNotFoundError: No module named 'tensorflow.python'", "tensorflow-needed", "tensorflow"),
        ("E ValueError: Unknown level: 'WARNING'", "environment-outdated", "PyTorch"),
        (
            "W The follow op is not support : ['ConstantOfShape']\nW Not match tensor Pad_Pad_14:out0 \n"
            "E Try match layer: Pad_Pad_14:out0 failed!",
            "toolkit-op",
            "no operator 'ConstantOfShape' (at layer Pad_Pad_14)",
        ),
        ("E Try match layer: Resize_Resize_1382:out0 failed!", "toolkit-op", "layer Resize_Resize_1382:"),
        ("E KeyError: 'aten::x'", "toolkit-op", "aten::x"),
        ("E There is no valid data in the dataset", "dataset-invalid", "none of the calibration files"),
        (
            "E tensorflow.python.framework.errors_impl.OutOfRangeError: FIFOQueue '_0_fifo_queue' is closed",
            "dataset-invalid",
            "to its end",
        ),
        ("E RKNN model data is None, please load model first!", "toolkit-refused", "built no model"),
        ("OSError: [Errno 28] No space left on device", "disk-full", "disk"),
        ("E MemoryError", "out-of-memory", "memory"),
    ],
)
def test_cause(text: str, code: str, words: str) -> None:
    for log in (text, "W rknn-toolkit version: 1.7.5\n" + TRACEBACK.format(last="AssertionError") + text):
        fault = logs.classify(log, "build returned -1")
        assert fault is not None
        assert (fault.code, words in fault.message) == (code, True), fault.message


def test_option_of_the_other_toolkit() -> None:
    fault = logs.classify("", "config() got an unexpected keyword argument 'quantized_method'")
    assert fault is not None
    assert (fault.code, fault.message) == (
        "bad-option",
        "config() of this toolkit has no option quantized_method",
    )


@pytest.mark.parametrize(
    "last",
    [
        "AssertionError",
        "AttributeError: 'NoneType' object has no attribute 'lid'",
        "zipfile.BadZipFile: no zip",
    ],
)
def test_bare_code_is_told_as_the_exception_that_was_logged(last: str) -> None:
    fault = logs.classify(TRACEBACK.format(last=last), "build returned -1")
    assert fault is not None
    assert (fault.code, fault.message) == ("toolkit-refused", f"build failed: {last}")


def test_what_was_raised_is_left_to_the_harness() -> None:
    assert logs.classify(TRACEBACK.format(last="AssertionError"), "something else") is None
    assert logs.classify("I fine\n", "build returned -1") is None


def test_warnings_are_told_once_and_without_tracebacks() -> None:
    lost = "W Can not find file: a.png. This line will be ignored!"
    log = f"W rknn-toolkit version: 1.7.5\n{lost}\nI fine\n{lost}\n" + TRACEBACK.format(last="AssertionError")
    assert logs.warnings(log) == [
        lost,
        "E Catch exception when building RKNN model!",
        "E KeyError: '378'",
        "E AssertionError",
    ]


def test_every_pattern_is_documented() -> None:
    """A pattern without a line that somebody saw is a guess."""
    page = (ROOT / "docs" / "measurements" / "log-lines.md").read_text(encoding="utf-8")
    section = page[page.index("# What lines of rknn-toolkit 1.7.5") :].replace("`, `", "\n")
    assert [cause.pattern for cause in logs.CAUSES if not re.search(cause.pattern, section)] == []
