"""The toolkit2 images convert, sealed and from job directories, as the docker engine runs them."""

from pathlib import Path

import numpy
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from shared import chips, contract
from shared.contract import CONTRACT, Job, Result, Source
from tests import models, sources
from tests.images.conftest import DEFAULTS
from tests.images.sealed import Image

pytestmark = pytest.mark.docker

TOOLKIT2 = [environment for environment in DEFAULTS if environment.toolkit == "toolkit2"]
only_toolkit2 = pytest.mark.parametrize("image", TOOLKIT2, indirect=True, ids=lambda each: str(each.variant))
INTERFACES: dict[str, tuple[list[str], list[list[int]], list[str]]] = {
    "tensorflow": (["image"], [[1, 8, 8, 3]], ["features"]),
    "torchscript": (["x"], [[1, 3, 8, 8]], []),
}
"""Of the models of tests/sources.py, where the toolkit has to be told: inputs, their shapes, outputs."""
FORMATS = {
    each: [name for name in chips.kit("toolkit2").variants[each.variant].formats if name != "onnx"]
    for each in TOOLKIT2
}


def scales() -> ModelProto:
    """Two scales joined, then split into boxes and scores, as in a YOLO head: a fuse rule calls torch."""
    random = numpy.random.default_rng(0)
    weights = {
        "near": random.normal(0, 0.2, (24, 3, 3, 3)).astype(numpy.float32),
        "far": random.normal(0, 0.2, (24, 3, 3, 3)).astype(numpy.float32),
        "flat": numpy.array([1, 24, -1]),
        "parts": numpy.array([16, 8]),
    }
    nodes = [
        make_node("Conv", ["x", "near"], ["a"], pads=[1, 1, 1, 1]),
        make_node("Conv", ["x", "far"], ["b"], pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Reshape", ["a", "flat"], ["c"]),
        make_node("Reshape", ["b", "flat"], ["d"]),
        make_node("Concat", ["c", "d"], ["e"], axis=2),
        make_node("Split", ["e", "parts"], ["box", "score"], axis=1),
        make_node("Sigmoid", ["score"], ["s"]),
        make_node("Concat", ["box", "s"], ["y"], axis=1),
    ]
    return models.model(nodes, [1, 24, 1280], weights)


@pytest.fixture(scope="module")
def batch(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the job directories of the image's variant, all run: two graphs, and each format."""
    folder = tmp_path_factory.mktemp("batch")
    for name, model in (("conv", models.conv()), ("scales", scales())):
        (folder / name / "in").mkdir(parents=True)
        models.save(model, folder / name / "in" / "model.onnx")
        place(image, folder / name, Source("onnx", {"model": "in/model.onnx"}, [], [], []), 32)
    for name in FORMATS[image.environment]:
        stands_for = sources.copy(name, folder / name / "in")
        roles = {"caffe": ("prototxt", "caffemodel"), "darknet": ("cfg", "weights")}.get(name, ("model",))
        files = dict(zip(roles, (f"in/{file}" for file in sources.WHOLE[name]), strict=True))
        if name == "caffe":  # of which the toolkit cannot load a network of one layer
            with stands_for.open("a") as prototxt:
                prototxt.write('layer { name: "relu" type: "ReLU" bottom: "conv" top: "y" }\n')
        place(image, folder / name, Source(name, files, *INTERFACES.get(name, ([], [], []))), 8)
    image.jobs(folder, ["conv", "scales", *FORMATS[image.environment]])
    return folder


def place(image: Image, directory: Path, source: Source, side: int) -> None:
    """Make a job directory of a folder whose in/ has the source: rk3588 in fp16, one held-out picture."""
    heldout = numpy.random.default_rng(1).integers(0, 256, (1, side, side, 3), dtype=numpy.uint8)
    numpy.save(directory / "in" / "heldout.npy", heldout)
    job = Job(
        contract=CONTRACT,
        chip="rk3588",
        toolkit_version=image.environment.version,
        source=source,
        config={"target_platform": "rk3588", "mean_values": [[0] * 3], "std_values": [[255] * 3]},
        quantize=False,
        dataset=None,
        heldout=["in/heldout.npy"],
        hybrid=None,
        analysis=False,
        artifact="model.rknn",
        timeout_s=300,
        memory_bytes=0,
    )
    contract.write_job(str(directory / "job.json"), job)


def result(directory: Path) -> Result:
    return contract.read_result(str(directory / "result.json"))


@only_toolkit2
def test_simple_network_converts(batch: Path) -> None:
    made = result(batch / "conv")
    assert made.fault is None
    assert made.artifact is not None
    assert made.artifact.platform == "rk3588"
    assert made.environment["addresses_fixed"] is True
    simulated = numpy.load(batch / "conv" / "out" / made.simulated[0])
    assert simulated.shape[1:] == (1, 8, 32, 32)
    assert simulated.std() > 0


@only_toolkit2
def test_slim_refuses_what_needs_torch(image: Image, batch: Path) -> None:
    made = result(batch / "scales")
    if image.environment.variant != "slim":
        assert made.fault is None
        assert made.artifact is not None
    else:
        assert made.artifact is None
        assert made.fault is not None
        assert made.fault["code"] == "torch-needed"
        assert "torch." in made.fault["message"]


@only_toolkit2
def test_variant_loads_every_format_that_it_is_said_to(
    image: Image, batch: Path, subtests: pytest.Subtests
) -> None:
    for name in FORMATS[image.environment]:
        with subtests.test(name):
            made = result(batch / name)
            assert made.fault is None, (made.fault, (batch / name / "log.txt").read_text()[-2000:])
            assert len(made.simulated) == len(made.reference) == 1, made.warnings
            simulated, reference = (
                numpy.load(batch / name / "out" / files[0]) for files in (made.simulated, made.reference)
            )
            assert simulated.shape == reference.shape
            assert numpy.abs(simulated - reference).max() < 0.01 * numpy.abs(reference).max()
