"""The images of frameworks export what their framework made, sealed and from job directories."""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import docker
import onnx
import pytest

from shared import contract
from shared.contract import CONTRACT, Job, Source
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


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /jobs/ran",)


class Case(NamedTuple):
    """What is exported: files of the folder `made`, and what is said about them."""

    form: str
    files: Mapping[str, str]
    size: list[int] | None
    told: tuple[list[str], list[list[int]], list[str]] = ([], [], [])
    """Inputs, their shapes, outputs."""
    trusted: bool = False


SMALL = [64, 64]
WIDE = [64, 48]
GRAPH = (["image"], [[1, 24, 24, 3]], ["features"])
CHECKPOINT = {"meta": "model.meta", "index": "model.index", "data": "model.data-00000-of-00001"}
CASES: Mapping[str, Mapping[str, Case]] = {
    "pytorch": {
        "detector": Case("pytorch", {"model": "detector.pt"}, SMALL),
        "classifier": Case("pytorch", {"model": "classifier.pt"}, SMALL),
        "training": Case("pytorch", {"model": "training.pt"}, SMALL),
        "traced": Case("torchscript", {"model": "traced.pt"}, SMALL),
        "weights": Case("pytorch", {"model": "weights.pth"}, SMALL),
        "sizeless": Case("pytorch", {"model": "classifier.pt"}, None),
        "partial": Case("pytorch", {"model": "partial.pt"}, SMALL),
        "trusted": Case("pytorch", {"model": "partial.pt"}, SMALL, trusted=True),
        "evil": Case("pytorch", {"model": "evil.pt"}, SMALL),
    },
    "tensorflow": {
        "keras-3": Case("keras", {"model": "new.keras"}, WIDE),
        "keras-2": Case("keras", {"model": "old.h5"}, WIDE),
        "savedmodel": Case("savedmodel", {"folder": "saved"}, WIDE),
        "tflite": Case("tflite", {"model": "net.tflite"}, WIDE),
        "frozen-graph": Case("tensorflow", {"model": "frozen.pb"}, WIDE, GRAPH),
        "checkpoint": Case("tf-checkpoint", CHECKPOINT, WIDE, GRAPH),
        "code": Case("keras", {"model": "code.h5"}, None),
        "weights": Case("keras", {"model": "weights.h5"}, None),
        "sizeless": Case("keras", {"model": "new.keras"}, None),
    },
}
"""Variant -> name of a job directory -> what is exported there."""


@pytest.fixture(scope="module")
def exported(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job directory for each case of the variant, all run, on what its framework saved."""
    variant = image.environment.variant
    made = tmp_path_factory.mktemp("made")
    script = {"pytorch": PYTORCH, "tensorflow": TENSORFLOW}[variant]
    user = f"{os.getuid()}:{os.getgid()}"
    image.python(script, volumes=[(str(made), "/made", "rw")], user=user, working_dir="/tmp")
    (made / "evil.pt").write_bytes(pickle.dumps(Evil()) * 5)
    folder = tmp_path_factory.mktemp("exported")
    for name, case in CASES[variant].items():
        (folder / name).mkdir()
        job = Job(
            contract=CONTRACT,
            chip="",
            toolkit_version=image.environment.version,
            source=Source(
                case.form, {role: f"/made/{file}" for role, file in case.files.items()}, *case.told
            ),
            config={"opset": 12, "size": case.size, "trust_pickle": case.trusted},
            quantize=False,
            dataset=None,
            heldout=[],
            hybrid=None,
            analysis=False,
            artifact="model.onnx",
            timeout_s=300,
            memory_bytes=0,
        )
        contract.write_job(str(folder / name / "job.json"), job)
    image.jobs(folder, CASES[variant], (str(made), "/made", "ro"))
    return folder


def of(variant: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("image", [ENVIRONMENTS[variant]], indirect=True, ids=[variant])


def facts_of(directory: Path) -> dict[str, Any]:
    """What is known of an export that went well and whose graph is valid."""
    assert contract.read_result(str(directory / "result.json")).fault is None
    model = onnx.load(directory / "out" / "model.onnx")
    onnx.checker.check_model(model)
    facts = dict(json.loads((directory / "out" / "export.json").read_text()))
    assert model.opset_import[0].version == facts["opset"] == 12
    assert facts["difference"] < 1e-5
    return facts


def refused(directory: Path, code: str, word: str) -> None:
    """An export failed with this code and this word in what it says."""
    fault = contract.read_result(str(directory / "result.json")).fault
    assert fault is not None
    assert fault["code"] == code
    assert word in fault["message"]


@pytest.mark.parametrize("image", ENVIRONMENTS.values(), indirect=True, ids=ENVIRONMENTS)
def test_image_is_no_larger_than_promised(image: Image) -> None:
    found = docker.from_env().images.get(image.name)
    for_cuda = found.labels["rkforge.torch"] == "pypi"
    assert for_cuda or found.attrs["Size"] <= MOST_BYTES


@of("pytorch")
@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("detector", [1, 84, 84]),
        ("classifier", [1, 1000]),
        ("training", [1, 1000]),
        ("traced", [1, 1000]),
        ("trusted", [1, 1000]),
    ],
)
def test_pytorch_exports(exported: Path, name: str, output: list[int]) -> None:
    facts = facts_of(exported / name)
    assert facts["inputs"][0]["shape"] == [1, 3, 64, 64]
    assert facts["outputs"][0]["shape"] == output
    assert len(facts["labels"]) == (80 if name == "detector" else 0)


@of("pytorch")
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("weights", "model-format", "weights"),
        ("sizeless", "model-shape", "size"),
        ("partial", "pickle-refused", "functools.partial"),
        ("evil", "pickle-refused", "system"),
    ],
)
def test_pytorch_refuses(exported: Path, name: str, code: str, word: str) -> None:
    """The host would not have sent the pickles: the environment looks by itself, and runs none."""
    refused(exported / name, code, word)
    assert not (exported / "ran").exists()


@of("tensorflow")
@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("keras-3", [[1, 3, 48, 64]], [[1, 46, 62, 8]]),
        ("keras-2", [[1, 3, 16, 16], [1, 5]], [[1, 2], [1, 9]]),
        ("savedmodel", [[1, 3, 16, 16], [1, 5]], [[1, 9], [1, 2]]),
        ("tflite", None, None),
        ("frozen-graph", [[1, 3, 24, 24]], [[1, 24, 24, 5]]),
        ("checkpoint", [[1, 3, 24, 24]], [[1, 24, 24, 5]]),
    ],
)
def test_tensorflow_exports(
    exported: Path, name: str, inputs: list[list[int]] | None, outputs: list[list[int]] | None
) -> None:
    """Images have their channels first in the ONNX file, and everything has one shape."""
    facts = facts_of(exported / name)
    assert any("channels first" in note for note in facts["notes"])
    assert inputs is None or [port["shape"] for port in facts["inputs"]] == inputs
    assert outputs is None or [port["shape"] for port in facts["outputs"]] == outputs


@of("tensorflow")
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("code", "pickle-refused", "Lambda"),
        ("weights", "model-format", "weights"),
        ("sizeless", "model-shape", "?"),
    ],
)
def test_tensorflow_refuses(exported: Path, name: str, code: str, word: str) -> None:
    refused(exported / name, code, word)
