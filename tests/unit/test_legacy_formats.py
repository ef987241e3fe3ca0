"""The legacy driver with models of every format that its toolkit reads, and its double's opinion of them."""

import io
import json
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared import chips, contract
from shared.contract import Result, Source
from tests.conftest import ROOT
from tests.models import SIDE
from tests.unit.test_legacy_double import EVALUATE
from tests.unit.test_legacy_driver import NOTICE, TOOLKIT, Case, calls, command, place

PROTOTXT = f"""
layer {{
  name: "data" type: "Input" top: "data"
  input_param {{ shape: {{ dim: 1 dim: 3 dim: {SIDE} dim: {SIDE} }} }}
}}
layer {{ name: "c" type: "ReLU" bottom: "data" top: "c" }}
"""
CFG = f"[net]\nwidth={SIDE}\nheight={SIDE}\nchannels=3\n[convolutional]\nfilters=1\n"
SYMBOL = {"nodes": [{"op": "null", "name": "data"}, {"op": "Activation", "name": "relu"}]}


def archive(*names: str) -> bytes:
    """A zip with empty files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, "")
    return stream.getvalue()


FILES: dict[str, bytes] = {
    "model.tflite": b"\0\0\0\0TFL3",
    "model.h5": b"\x89HDF\r\n\x1a\n",
    "model.prototxt": PROTOTXT.encode(),
    "model.caffemodel": b"weights",
    "model.cfg": CFG.encode(),
    "model.weights": b"\0" * 20,
    "model.pb": b"\x0a\x03\x0a\x01x\x0a\x03\x0a\x01y",
    "model.pt": archive("model/constants.pkl"),
    "model-symbol.json": json.dumps(SYMBOL).encode(),
    "model.params": b"\x12\x01" + b"\0" * 20,
}
"""As little of each format as the double looks at."""
NCHW, NHWC = [[1, 3, SIDE, SIDE]], [[1, SIDE, SIDE, 3]]


def source(format_name: str, **roles: str) -> Source:
    return Source(format_name, {role: f"in/{name}" for role, name in roles.items()}, [], [], [])


SOURCES: dict[str, tuple[Source, Mapping[str, Any]]] = {
    "tflite": (source("tflite", model="model.tflite"), {"model": "model.tflite"}),
    "keras": (source("keras", model="model.h5"), {"model": "model.h5"}),
    "caffe": (
        source("caffe", prototxt="model.prototxt", caffemodel="model.caffemodel"),
        {"model": "model.prototxt", "proto": "caffe", "blobs": "model.caffemodel"},
    ),
    "darknet": (
        source("darknet", cfg="model.cfg", weights="model.weights"),
        {"model": "model.cfg", "weight": "model.weights"},
    ),
    "tensorflow": (
        source("tensorflow", model="model.pb")._replace(inputs=["x:0"], shapes=NHWC, outputs=["y"]),
        {"tf_pb": "model.pb", "inputs": ["x"], "input_size_list": [[SIDE, SIDE, 3]], "outputs": ["y"]},
    ),
    "torchscript": (
        source("torchscript", model="model.pt")._replace(inputs=["x"], shapes=NCHW),
        {"model": "model.pt", "input_size_list": [[3, SIDE, SIDE]]},
    ),
    "mxnet": (
        source("mxnet", symbol="model-symbol.json", params="model.params")._replace(
            inputs=["data"], shapes=NCHW
        ),
        {"symbol": "model-symbol.json", "params": "model.params", "input_size_list": [[3, SIDE, SIDE]]},
    ),
}
"""Format -> what the job says, and what the toolkit must be told: files by their names."""
CALLS = {"torchscript": "load_pytorch"}
KINDS = [
    (name, dtype, folder) for name in SOURCES for dtype in ("int8", "fp16") for folder in (".", "with spaces")
]


def test_every_offered_format_is_here() -> None:
    assert {name for variant in TOOLKIT.variants.values() for name in variant.formats} == {"onnx", *SOURCES}


@pytest.fixture(scope="module", params=chips.pythons(TOOLKIT))
def ran(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    legacy_python: Callable[[str], str],
) -> Mapping[tuple[str, str, str], Path]:
    """The job directories of all kinds, run."""
    made = {}
    for kind in KINDS:
        name, dtype, folder = kind
        directory = place(tmp_path_factory.mktemp("formats"), "job", Case(dtype=dtype, folder=folder))
        (directory / "in" / "model.onnx").unlink()
        for file, content in FILES.items():
            (directory / "in" / file).write_bytes(content)
        job = contract.read_job(str(directory / "job.json"))
        contract.write_job(str(directory / "job.json"), job._replace(source=SOURCES[name][0]))
        made[kind] = directory
    python = legacy_python(request.param)
    subprocess.run(command(python, *made.values()), cwd=ROOT, check=True, timeout=600)
    return made


def result(directory: Path) -> Result:
    return contract.read_result(str(directory / "result.json"))


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_model_is_loaded_as_documented(
    ran: Mapping[tuple[str, str, str], Path], kind: tuple[str, str, str]
) -> None:
    directory = ran[kind]
    assert result(directory).fault is None, (directory / "log.txt").read_text()
    text = (directory / "out" / TOOLKIT.artifact).read_text()
    assert text.startswith(NOTICE)
    call, arguments = calls(json.loads(text[text.index("{") :]))[1]
    assert call == CALLS.get(kind[0], f"load_{kind[0]}")
    paths = [value for value in arguments.values() if isinstance(value, str) and value.startswith("/")]
    assert paths and not any(character.isspace() for path in paths for character in path)
    named = {key: Path(value).name if value in paths else value for key, value in arguments.items()}
    assert named == SOURCES[kind[0]][1]


READY = "r.config(target_platform=['rv1126'])"
PB = "tf_pb='model.pb', inputs=['x'], input_size_list=[[32, 32, 3]], outputs=['y']"
ANSWERS = [
    ("r.load_caffe(model='model.prototxt', proto='caffe', blobs='model.caffemodel')", 0, ""),
    ("r.load_caffe(model='model.prototxt', blobs='model.caffemodel')", "TypeError", ""),
    ("r.load_caffe(model='model.prototxt', proto='caffe')", -1, "weights would be random"),
    ("r.load_caffe(model='model.prototxt', proto='other', blobs='model.caffemodel')", -1, "choose from"),
    ("r.load_caffe(model='old.prototxt', proto='caffe', blobs='model.caffemodel')", -1, "not of the syntax"),
    ("r.load_caffe(model='model.prototxt', proto='caffe', blobs='none')", -1, "No such file"),
    ("r.load_caffe(model='a', proto='caffe', blobs='b', input_name='c')", "TypeError", ""),
    ("r.load_darknet(model='model.cfg', weight='model.weights')", 0, ""),
    ("r.load_darknet(model='model.cfg')", "TypeError", ""),
    ("r.load_darknet(model='model.cfg', weight='short.weights')", -1, "no weights"),
    ("r.load_darknet(model='model.prototxt', weight='model.weights')", -1, "no [net]"),
    (f"r.load_tensorflow({PB})", 0, ""),
    (f"r.load_tensorflow({PB.replace('[[32', '[[1, 32')})", -1, "without the batch"),
    (f"r.load_tensorflow({PB.replace('[[32, 32, 3]]', '[]')})", -1, "1 inputs with 0 sizes"),
    (f"r.load_tensorflow({PB.replace(repr('x'), repr('x:0'))})", -1, "names of layers"),
    (
        f"r.load_tensorflow({PB.replace(repr('y'), repr('z'))})",
        -1,
        "The name 'z' refers to an Operation not in",
    ),
    (f"r.load_tensorflow({PB}, input_is_nchw=False)", "TypeError", ""),
    ("r.load_tflite(model='model.tflite')", 0, ""),
    ("r.load_tflite(model='model.h5')", -1, "no TensorFlow Lite model"),
    ("r.load_keras(model='model.h5')", 0, ""),
    ("r.load_keras(model='model.keras')", -1, "file signature not found"),
    ("r.load_keras(model='new.h5')", -1, "Unrecognized keyword arguments: ['batch_shape', 'optional']"),
    ("r.load_pytorch(model='model.pt', input_size_list=[[3, 32, 32]])", 0, ""),
    ("r.load_pytorch(model='model.pt', input_size_list=[[1, 3, 32, 32]])", -1, "without the batch"),
    ("r.load_pytorch(model='state.pt', input_size_list=[[3, 32, 32]])", -1, "constants.pkl"),
    ("r.load_mxnet(symbol='model-symbol.json', params='model.params', input_size_list=[[3, 32, 32]])", 0, ""),
    (
        "r.load_mxnet(symbol='model-symbol.json', params='model.h5', input_size_list=[[3, 32, 32]])",
        -1,
        "Invalid",
    ),
]
"""A call after config, its answer, and words of the log."""


@pytest.fixture(scope="module", params=chips.pythons(TOOLKIT))
def answers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    legacy_python: Callable[[str], str],
) -> Mapping[str, tuple[Any, str]]:
    """What the double answered to each call, and the log."""
    folder = tmp_path_factory.mktemp("double")
    bad = {
        "old.prototxt": b'layers { name: "a" }',
        "short.weights": b"\0" * 16,
        "model.keras": archive("config.json"),
        "new.h5": FILES["model.h5"] + b'{"batch_shape": [null, 8, 8, 3]}',
        "state.pt": archive("archive/data.pkl"),
    }
    for name, content in {**FILES, **bad}.items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        [legacy_python(request.param), "-c", EVALUATE],
        input=json.dumps([(READY, asked) for asked, _, _ in ANSWERS]),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip([asked for asked, _, _ in ANSWERS], json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case[0])
def test_double_answers_as_documented(
    answers: Mapping[str, tuple[Any, str]], case: tuple[str, Any, str]
) -> None:
    asked, expected, words = case
    answer, log = answers[asked]
    assert (answer, words in log) == (expected, True), log
