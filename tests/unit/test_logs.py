"""Lines of rknn-toolkit2's log, as its versions 2.2.0 to 2.5.0 print them, and what rkforge makes of them."""

import re
from pathlib import Path
from typing import Any

import pytest

import frameworks.logs
import legacy.logs
from shared.contract import Event
from tests.unit.test_contract import JOB
from toolkit2 import logs

ROOT = Path(__file__).resolve().parents[2]
ADVICE = (
    "\x1b[1;33mW\x1b[0m \x1b[1;33mYou can add disable_rules=['seperate_conv_rs_split'] in rknn.config() "
    "to temporarily disable the error rule!\x1b[0m\n"
)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("I Quantizating 24/72", Event(0.0, "quantize", "tensors", 24, 72)),
        ("I Quantizating : 100%|█| 72/72", Event(0.0, "quantize", "tensors", 72, 72)),
        ("\x1b[32mI\x1b[0m MmseQuant2 3/9", Event(0.0, "quantize", "tensors", 3, 9)),
        ("I rknn building ...", Event(0.0, "build", "", 0, 0)),
        ("I rknn building done.", None),
        ("I OpFusing 0 : 41/100", None),
        ("I GraphPreparing 2/12", None),
        ("W Quantizating is not a bar 1/2", None),
        ("", None),
    ],
)
def test_progress(line: str, event: Event | None) -> None:
    assert logs.progress(line) == event


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (
            "E load_onnx: Unsupport onnx opset 20, need <= 19!",
            "model-opset",
            "opset 20, this toolkit reads up to 19",
        ),
        (
            "No lowering found for: y, node type = Det, use CustomOperatorLower instead.",
            "toolkit-op",
            "the operator Det",
        ),
        (
            "E build: [ONNXRuntimeError] : 10 : INVALID_GRAPH : No opset import for domain 'my.ops'",
            "model-op",
            "my.ops",
        ),
        ("E RKNN: [10:11:12.345] Not Support Dtype: 2. please check precision!", "model-op", "aborts"),
        (
            "E load_onnx: The input shape ['N', 3, 64, 64] of 'x' is not support!",
            "model-shape",
            "input x has the shape ['N', 3, 64, 64]",
        ),
        ("ValueError: cannot convert float NaN to integer", "model-weights", "not numbers"),
        (
            "E config: The quantized_dtype = 'w8a16' not support in 'rk3588'!",
            "dtype-unsupported",
            "no w8a16 for rk3588",
        ),
        (
            "E build: Current target_platform(rv1106) not support do_quantization = False!",
            "dtype-unsupported",
            "rv1106",
        ),
        (
            "E RKNN: [10:11:12.345] Meet unsupported conv, input tensor name: x input type: 3",
            "dtype-unsupported",
            "aborted",
        ),
        (
            "W load_tflite: 'import tensorflow' failed! Please use the following command to reinstall it:",
            "tensorflow-needed",
            "TensorFlow",
        ),
        ("ModuleNotFoundError: No module named 'tensorflow'", "tensorflow-needed", "TensorFlow"),
        (
            "E load_tflite: RuntimeError: Encountered unresolved custom op: Convolution2DTransposeBias.",
            "toolkit-op",
            "operator Convolution2DTransposeBias,",
        ),
        (
            "ValueError: The following operators are not implemented: ['aten::conv2d', 'aten::dim']",
            "toolkit-op",
            "'aten::conv2d', 'aten::dim'",
        ),
        ("E load_caffe:  OP in Layer m Current not support!!!", "toolkit-op", "layer m"),
        ("ValueError: Layer of type lstm not supported", "toolkit-op", "type lstm"),
        (
            "E build: The Loop('generic_loop_Loop__77') will cause the graph to be a dynamic graph!",
            "toolkit-op",
            "Loop, generic_loop_Loop__77",
        ),
        ("E load_tensorflow: AssertionError: nope is not in graph", "bad-option", "no node nope"),
        (
            "RuntimeError: PytorchStreamReader failed locating file constants.pkl: file not found.",
            "model-format",
            "checkpoint",
        ),
        (
            "E build: If a quantized model has been import, please set do_quantization = False.",
            "dtype-unsupported",
            "quantized already",
        ),
        ("OSError: [Errno 28] No space left on device", "disk-full", "disk"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory", "memory"),
        ("torch-needed: torch.arange, torch.tensor", "torch-needed", "torch.arange, torch.tensor"),
    ],
)
def test_cause(line: str, code: str, words: str) -> None:
    coloured = re.sub(r"^([EW]) ", "\x1b[31m\\1\x1b[0m \x1b[31m", line) + "\x1b[0m"
    for text in (line, f"I rknn-toolkit2 version: 2.5.0\n{coloured}\nI more\n"):
        fault = logs.classify(text, None)
        assert fault is not None
        assert fault.code == code
        assert words in fault.message
        assert "\n" not in fault.message and "\x1b" not in fault.message


def test_cause_may_be_in_the_exception_only() -> None:
    fault = logs.classify("I fine\n", "torch-needed: torch.arange")
    assert fault is not None
    assert fault.code == "torch-needed"


@pytest.mark.parametrize("driver", [logs, legacy.logs, frameworks.logs])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("OSError: [Errno 28] No space left on device", "disk-full"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "out-of-memory"),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:119] data. DefaultCPUAllocator: not enough memory",
            "out-of-memory",
        ),
        (
            "numpy._ArrayMemoryError: Unable to allocate 2.98 GiB for an array with shape (9,)",
            "out-of-memory",
        ),
    ],
)
def test_exhausted_machine_is_told_by_every_driver(driver: Any, line: str, code: str) -> None:
    fault = driver.classify(f"I fine\n{line}\n", "RuntimeError")
    assert fault is not None and fault.code == code


def test_unknown_failure_is_left_to_the_harness() -> None:
    assert (
        logs.classify("I rknn building ...\nE RKNN: [10:11:12.345] buffer overflow!!!\n", "something") is None
    )


def test_operator_without_lowering_is_found_in_a_success() -> None:
    log = "I rknn building ...\nNo lowering found for: y, node type = Det, use CustomOperatorLower instead.\n"
    fault = logs.hidden(log)
    assert fault is not None
    assert fault.code == "toolkit-op"
    assert logs.hidden("E RKNN: [10:11:12.345] Meet unsupported conv\n") is None


def test_named_rule_is_left_out_in_the_next_attempt() -> None:
    again = logs.retry(JOB, ADVICE)
    assert again is not None
    assert again.config == {"disable_rules": ["seperate_conv_rs_split"]}
    assert "seperate_conv_rs_split" in again.reason


def test_rules_add_up_and_none_is_left_out_twice() -> None:
    job = JOB._replace(config={"disable_rules": ["first", "seperate_conv_rs_split"]})
    assert logs.retry(job, ADVICE) is None
    again = logs.retry(job, ADVICE.replace("['seperate_conv_rs_split']", "['second', 'first','third']"))
    assert again is not None
    assert again.config == {"disable_rules": ["first", "seperate_conv_rs_split", "second", "third"]}


def test_advice_that_only_hides_a_missing_torch_is_not_taken() -> None:
    assert logs.retry(JOB, ADVICE + "torch-needed: torch.arange\n") is None


def test_no_advice_no_retry() -> None:
    assert logs.retry(JOB, "E build: it failed\n") is None


def test_warnings_are_told_once_without_times_and_noise() -> None:
    log = (
        "I rknn building ...\n"
        "E RKNN: [06:05:13.001] REGTASK: The bit width of field value exceeds the limit\n"
        "E RKNN: [06:05:13.002] REGTASK: The bit width of field value exceeds the limit\n"
        "E RKNN: [06:05:13.003] Unkown op target: 0\n"
        "W RKNN: [06:05:13.004] Warning: Tensor x need parameter qtype, type is set to float16 by default!\n"
        "D RKNN: [06:05:13.005] E is no error here\n"
        "\x1b[1;33mW\x1b[0m \x1b[1;33mbuild: The default input dtype of 'x' is changed\x1b[0m\n"
    )
    assert logs.warnings(log) == ["E RKNN: REGTASK: The bit width of field value exceeds the limit"]


def test_every_pattern_is_documented() -> None:
    """A pattern without a measured line is a guess."""
    page = (ROOT / "docs" / "measurements" / "log-lines.md").read_text(encoding="utf-8")
    assert len(logs.CAUSES) <= page.partition("# What lines of rknn-toolkit 1.7.5")[0].count("\n| `")
