"""The images of frameworks export what their framework made, sealed and from a job directory."""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import onnx
import pytest

from shared import contract
from shared.contract import CONTRACT, Job, Result, Source
from tests.images.conftest import DEFAULTS
from tests.images.sealed import Image

pytestmark = pytest.mark.docker

ENVIRONMENTS = {each.variant: each for each in DEFAULTS if each.toolkit == "frameworks"}
MOST_BYTES = 2.5e9
PYTORCH = """
import functools, os
os.environ.update(YOLO_CONFIG_DIR="/tmp", YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
from frameworks.checkpoint import register_torchvision
register_torchvision()
import datetime, numpy, torch, torchvision
from ultralytics import YOLO

YOLO("yolov8n.yaml").save("/made/detector.pt")
net = torchvision.models.mobilenet_v3_small().eval()
torch.save(net, "/made/classifier.pt")
kept = {"epoch": 3, "date": datetime.datetime.now(), "fitness": numpy.float64(0.5), "seen": numpy.arange(3)}
torch.save({**kept, "ema": None, "model": net.half()}, "/made/training.pt")
torch.save(net.state_dict(), "/made/weights.pth")
torch.jit.trace(net.float(), torch.rand(1, 3, 64, 64)).save("/made/traced.pt")
net.rounding = functools.partial(round, ndigits=2)
torch.save(net, "/made/partial.pt")
"""
TENSORFLOW = """
import tensorflow as tf, keras, tf_keras

v1 = tf.compat.v1
new = keras.Sequential([keras.layers.Input((None, None, 3)), keras.layers.Conv2D(8, 3, activation="relu")])
new.save("/made/new.keras")
image, vector = tf_keras.Input((16, 16, 3), name="image"), tf_keras.Input((5,), name="vector")
pooled = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Conv2D(4, 3)(image))
both = tf_keras.layers.Concatenate()([pooled, vector])
old = tf_keras.Model([image, vector], [tf_keras.layers.Dense(2, name="one")(both), both])
old.save("/made/old.h5")
tf.saved_model.save(old, "/made/saved")
open("/made/net.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(old).convert())
code = tf_keras.Sequential([tf_keras.layers.InputLayer((4,)), tf_keras.layers.Lambda(lambda x: 2 * x)])
code.save("/made/code.h5")
old.save_weights("/made/weights.h5")
with tf.Graph().as_default(), v1.Session() as session:
    image = v1.placeholder(tf.float32, (None, 24, 24, 3), name="image")
    kernel = v1.get_variable("kernel", (3, 3, 3, 5))
    tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"), name="features")
    session.run(v1.global_variables_initializer())
    v1.train.Saver().save(session, "/made/model")
    graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, ["features"])
open("/made/frozen.pb", "wb").write(graph.SerializeToString())
"""
SETTING = (
    "import os; os.environ.update(YOLO_CONFIG_DIR='/tmp', YOLO_OFFLINE='true', YOLO_AUTOINSTALL='false')\n"
)
VISION = "from frameworks.checkpoint import register_torchvision; register_torchvision()\n"


@pytest.fixture(scope="module")
def made(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that the image's own framework saved."""
    folder = tmp_path_factory.mktemp("made")
    script = {"pytorch": PYTORCH, "tensorflow": TENSORFLOW}[image.environment.variant]
    user = f"{os.getuid()}:{os.getgid()}"
    image.python(script, volumes=[(str(folder), "/made", "rw")], user=user, working_dir="/tmp")
    return folder


def export(
    image: Image, made: Path, folder: Path, form: str, files: Mapping[str, str], told: Any = (), **config: Any
) -> tuple[Result, dict[str, Any]]:
    """The result and the facts of an export; `told` is inputs, shapes and outputs."""
    job = folder / "job"
    job.mkdir()
    inputs, shapes, outputs = told or ([], [], [])
    contract.write_job(
        str(job / "job.json"),
        Job(
            contract=CONTRACT,
            chip="",
            toolkit_version=image.environment.version,
            source=Source(
                form, {role: f"/made/{name}" for role, name in files.items()}, inputs, shapes, outputs
            ),
            config={"opset": 12, "size": None, "trust_pickle": False, **config},
            quantize=False,
            dataset=None,
            heldout=[],
            hybrid=None,
            analysis=False,
            artifact="model.onnx",
            timeout_s=300,
            memory_bytes=0,
        ),
    )
    volumes = [(str(job), "/jobs/job", "rw"), (str(made), "/made", "ro")]
    status, _, err = image.run("/jobs/job", volumes=volumes, user=f"{os.getuid()}:{os.getgid()}")
    assert status == 0, err
    facts = job / "out" / "export.json"
    result = contract.read_result(str(job / "result.json"))
    return result, json.loads(facts.read_text()) if facts.is_file() else {}


def of(variant: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("image", [ENVIRONMENTS[variant]], indirect=True, ids=[variant])


@pytest.mark.parametrize("image", ENVIRONMENTS.values(), indirect=True, ids=ENVIRONMENTS)
def test_image_is_no_larger_than_promised(image: Image) -> None:
    found = docker.from_env().images.get(image.name)
    for_cuda = found.labels["rkforge.torch"] == "pypi"
    assert for_cuda or found.attrs["Size"] <= MOST_BYTES


@of("pytorch")
@pytest.mark.parametrize(
    ("name", "form", "output"),
    [
        ("detector.pt", "pytorch", [1, 84, 84]),
        ("classifier.pt", "pytorch", [1, 1000]),
        ("training.pt", "pytorch", [1, 1000]),
        ("traced.pt", "torchscript", [1, 1000]),
    ],
)
def test_pytorch_exports(
    image: Image, made: Path, tmp_path: Path, name: str, form: str, output: list[int]
) -> None:
    result, facts = export(image, made, tmp_path, form, {"model": name}, size=[64, 64])
    assert result.fault is None
    assert facts["inputs"][0]["shape"] == [1, 3, 64, 64]
    assert facts["outputs"][0]["shape"] == output
    assert facts["difference"] < 1e-5
    model = onnx.load(tmp_path / "job" / "out" / "model.onnx")
    onnx.checker.check_model(model)
    assert model.opset_import[0].version == facts["opset"] == 12
    assert len(facts["labels"]) == (80 if name == "detector.pt" else 0)


@of("pytorch")
@pytest.mark.parametrize(
    ("name", "config", "code", "word"),
    [
        ("weights.pth", {"size": [64, 64]}, "model-format", "weights"),
        ("classifier.pt", {}, "model-shape", "size"),
        ("partial.pt", {"size": [64, 64]}, "pickle-refused", "functools.partial"),
    ],
)
def test_pytorch_refuses(
    image: Image, made: Path, tmp_path: Path, name: str, config: dict[str, Any], code: str, word: str
) -> None:
    result, _ = export(image, made, tmp_path, "pytorch", {"model": name}, **config)
    assert result.fault is not None
    assert result.fault["code"] == code
    assert word in result.fault["message"]


@of("pytorch")
def test_what_is_trusted_is_loaded(image: Image, made: Path, tmp_path: Path) -> None:
    config = {"size": [64, 64], "trust_pickle": True}
    result, _ = export(image, made, tmp_path, "pytorch", {"model": "partial.pt"}, **config)
    assert result.fault is None


@of("pytorch")
def test_evil_pickle_never_runs(image: Image, tmp_path: Path) -> None:
    """The host would not have sent it: the environment looks by itself."""
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "net.pt").write_bytes(pickle.dumps(_Evil()) * 5)
    result, _ = export(image, evil, tmp_path, "pytorch", {"model": "net.pt"}, size=[64, 64])
    assert result.fault is not None
    assert result.fault["code"] == "pickle-refused"
    assert "system" in result.fault["message"]
    assert not (tmp_path / "job" / "ran").exists()


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /jobs/job/ran",)


GRAPH = (["image"], [[1, 24, 24, 3]], ["features"])


@of("tensorflow")
@pytest.mark.parametrize(
    ("form", "files", "told", "inputs", "outputs"),
    [
        ("keras", {"model": "new.keras"}, (), [[1, 3, 48, 64]], [[1, 46, 62, 8]]),
        ("keras", {"model": "old.h5"}, (), [[1, 3, 16, 16], [1, 5]], [[1, 2], [1, 9]]),
        ("savedmodel", {"folder": "saved"}, (), [[1, 3, 16, 16], [1, 5]], [[1, 9], [1, 2]]),
        ("tflite", {"model": "net.tflite"}, (), None, None),
        ("tensorflow", {"model": "frozen.pb"}, GRAPH, [[1, 3, 24, 24]], [[1, 24, 24, 5]]),
        (
            "tf-checkpoint",
            {"meta": "model.meta", "index": "model.index", "data": "model.data-00000-of-00001"},
            GRAPH,
            [[1, 3, 24, 24]],
            [[1, 24, 24, 5]],
        ),
    ],
    ids=["keras 3", "keras 2", "savedmodel", "tflite", "frozen graph", "checkpoint"],
)
def test_tensorflow_exports(
    image: Image,
    made: Path,
    tmp_path: Path,
    form: str,
    files: Mapping[str, str],
    told: Any,
    inputs: list[list[int]] | None,
    outputs: list[list[int]] | None,
) -> None:
    """Images have their channels first in the ONNX file, and everything has one shape."""
    result, facts = export(image, made, tmp_path, form, files, told, size=[64, 48])
    assert result.fault is None
    assert facts["difference"] < 1e-5
    assert any("channels first" in note for note in facts["notes"])
    assert inputs is None or [port["shape"] for port in facts["inputs"]] == inputs
    assert outputs is None or [port["shape"] for port in facts["outputs"]] == outputs
    onnx.checker.check_model(onnx.load(tmp_path / "job" / "out" / "model.onnx"))


@of("tensorflow")
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("code.h5", "pickle-refused", "Lambda"),
        ("weights.h5", "model-format", "weights"),
        ("new.keras", "model-shape", "?"),
    ],
)
def test_tensorflow_refuses(
    image: Image, made: Path, tmp_path: Path, name: str, code: str, word: str
) -> None:
    result, _ = export(image, made, tmp_path, "keras", {"model": name})
    assert result.fault is not None
    assert result.fault["code"] == code
    assert word in result.fault["message"]
