"""The double of the legacy toolkit is strict, and cannot be mistaken for the vendor's."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared import chips
from tests import double, models

TOOLKIT = chips.toolkit("legacy")
READY = "r.config(target_platform=['rv1109', 'rv1126'])"
LOADED = f"{READY}; r.load_onnx(model='m.onnx')"
BUILT = f"{LOADED}; r.build(do_quantization=False)"
STEP2 = "model_input='a.json', data_input='a.data', model_quantization_cfg='a.cfg', dataset='d.txt'"


CASES = [
    ("", READY, None, ""),
    ("", "r.config(target_platform='rv1126')", "ValueError", ""),
    ("", "r.config(target_platform=['rv1126', 'rk1808'])", "ValueError", ""),
    ("", "r.config(target_platform=['rk3588'])", "ValueError", ""),
    ("", "r.config(target_platform=['rv1126'], quantized_method='channel')", "TypeError", ""),
    ("", "r.config(target_platform=['rv1126'], quantized_dtype='w8a8')", "ValueError", ""),
    ("", "r.config(target_platform=['rv1126'], reorder_channel='RGB')", "ValueError", ""),
    ("", "r.config(target_platform=['rv1126'], std_values=[[0]])", "ValueError", ""),
    ("", "r.load_onnx(model='m.onnx')", -1, "config was not called"),
    (READY, "r.load_onnx('m.onnx')", "TypeError", ""),
    (READY, "r.load_onnx(model='none.onnx')", -1, "No such file"),
    (READY, "r.load_onnx(model='m.onnx', inputs=['x'])", -1, "without a size"),
    (READY, "r.load_onnx(model='m.onnx', inputs=['x'], input_size_list=[[3, 32, 32]])", 0, ""),
    (READY, "r.load_onnx(model='dynamic.onnx')", -1, "dynamic shape"),
    (READY, "r.load_onnx(model='newer.onnx')", -1, "ir_version"),
    (f"{READY[:-1]}, mean_values=[[0]])", "r.load_onnx(model='m.onnx')", -1, "1 instead of 3"),
    (READY, "r.build(do_quantization=False)", -1, "no model is loaded"),
    (LOADED, "r.build(do_quantization=False)", 0, ""),
    (LOADED, "r.build(do_quantization=False, pre_compile=True)", -1, "pre_compile"),
    (LOADED, "r.build(do_quantization=False, rknn_batch_size=0)", -1, "rknn_batch_size"),
    (BUILT, "r.export_rknn_quant_params(model='m.onnx')", -1, "decode"),
    (f"{BUILT}; r.export_rknn(export_path='o')", "r.export_rknn_quant_params(model='o')", -1, "of float16"),
    (LOADED, "r.build()", -1, "No such file or directory: 'dataset.txt'"),
    (
        f"{LOADED}; r.build()",
        "r.export_rknn(export_path='o')",
        -1,
        "RKNN model data is None",
    ),
    (BUILT, "r.export_rknn(export_path='none/o')", -1, "No such file"),
    (BUILT, "r.export_rknn(export_path='o')", 0, ""),
    (f"{BUILT}; r.release()", "r.export_rknn(export_path='o')", -1, "RKNN model data is None"),
    (LOADED, f"r.hybrid_quantization_step2({STEP2})", -1, "an object of its own"),
    (READY, f"r.hybrid_quantization_step2({STEP2})", -1, "No such file or directory: 'a.json'"),
    (BUILT, "r.init_runtime()", -1, "no simulator"),
    (BUILT, "r.inference(inputs=[])", None, "not initialized"),
    (BUILT, "r.eval_perf()", None, "not initialized"),
]
"""Statements, an expression after them, what it is or raises, and words of the log."""
EVALUATE = """
import io, json, sys
import mxnet
from rknn.api import RKNN
answers = []
for before, expression in json.load(sys.stdin):
    sys.stderr = io.StringIO()
    names = {"r": RKNN()}
    exec(before, names)
    try:
        answer = eval(expression, names)
    except Exception as error:
        answer = type(error).__name__
    answers.append([answer, sys.stderr.getvalue()])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module", params=chips.pythons(TOOLKIT))
def answers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    legacy_python: Callable[[str], str],
) -> Mapping[tuple[str, str], tuple[Any, str]]:
    """What every case's expression was or raised, and the log, on that Python."""
    folder = tmp_path_factory.mktemp("double")
    models.save(models.conv(opset=12), folder / "m.onnx")
    models.save(models.conv(opset=12, shape=("n", 3, 32, 32)), folder / "dynamic.onnx")
    newer = models.conv(opset=12)
    newer.ir_version = 9
    models.save(newer, folder / "newer.onnx")
    asked = [case[:2] for case in CASES]
    done = subprocess.run(
        [legacy_python(request.param), "-c", EVALUATE],
        input=json.dumps(asked),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    data = (folder / "o").read_bytes()
    assert data.startswith(b"This is NOT an RKNN model but output of the rkforge test double")
    return dict(zip(asked, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_answers(answers: Mapping[tuple[str, str], tuple[Any, str]], case: tuple[str, str, Any, str]) -> None:
    before, expression, expected, words = case
    answer, log = answers[before, expression]
    assert (answer, words in log) == (expected, True), log
    assert "NOT Rockchip's rknn-toolkit" in log.splitlines()[0]


def test_version_says_what_it_is() -> None:
    assert double.VERSION == "1.7.5+double"


def test_wheel_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    wheel = double.build_wheel(tmp_path)
    assert wheel.name == "rknn_toolkit-1.7.5+double-py3-none-any.whl"
    assert wheel.read_bytes() == double.build_wheel(tmp_path / "again").read_bytes()
