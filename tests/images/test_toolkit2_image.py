"""The toolkit2 images convert, sealed and from a job directory, as the docker engine runs them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared import chips, contract
from shared.contract import CONTRACT, Job, Result, Source
from tests import sources
from tests.images.conftest import DEFAULTS
from tests.images.sealed import Image

pytestmark = pytest.mark.docker

TOOLKIT2 = [environment for environment in DEFAULTS if environment.toolkit == "toolkit2"]
only_toolkit2 = pytest.mark.parametrize("image", TOOLKIT2, indirect=True, ids=lambda each: str(each.variant))


@only_toolkit2
def test_simple_network_converts(image: Image, tmp_path: Path) -> None:
    weight = numpy.random.default_rng(0).normal(0, 0.2, (8, 3, 3, 3)).astype(numpy.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    result = convert(image, tmp_path, nodes, {"w": weight}, [1, 8, 32, 32])
    assert result.fault is None
    assert result.artifact is not None
    assert result.artifact.platform == "rk3588"
    assert result.environment["addresses_fixed"] is True
    simulated = numpy.load(tmp_path / "job" / "out" / result.simulated[0])
    assert simulated.shape[1:] == (1, 8, 32, 32)
    assert simulated.std() > 0


@only_toolkit2
def test_slim_refuses_what_needs_torch(image: Image, tmp_path: Path) -> None:
    """Two scales joined, then split into boxes and scores, as in a YOLO head: a fuse rule calls torch."""
    random = numpy.random.default_rng(0)
    weights = {
        "near": random.normal(0, 0.2, (24, 3, 3, 3)).astype(numpy.float32),
        "far": random.normal(0, 0.2, (24, 3, 3, 3)).astype(numpy.float32),
        "flat": numpy.array([1, 24, -1]),
        "parts": numpy.array([16, 8]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "near"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "far"], ["b"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Reshape", ["a", "flat"], ["c"]),
        helper.make_node("Reshape", ["b", "flat"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["e"], axis=2),
        helper.make_node("Split", ["e", "parts"], ["box", "score"], axis=1),
        helper.make_node("Sigmoid", ["score"], ["s"]),
        helper.make_node("Concat", ["box", "s"], ["y"], axis=1),
    ]
    result = convert(image, tmp_path, nodes, weights, [1, 24, 1280])
    if image.environment.variant != "slim":
        assert result.fault is None
        assert result.artifact is not None
    else:
        assert result.artifact is None
        assert result.fault is not None
        assert result.fault["code"] == "torch-needed"
        assert "torch." in result.fault["message"]


INTERFACES: dict[str, tuple[list[str], list[list[int]], list[str]]] = {
    "tensorflow": (["image"], [[1, 8, 8, 3]], ["features"]),
    "torchscript": (["x"], [[1, 3, 8, 8]], []),
}
"""Of the models of tests/sources.py, where the toolkit has to be told: inputs, their shapes, outputs."""
VARIANTS = [
    pytest.param(environment, name, id=f"{environment.variant} {name}")
    for environment in TOOLKIT2
    for name in chips.kit("toolkit2").variants[environment.variant].formats
    if name != "onnx"
]


@pytest.mark.parametrize(("image", "name"), VARIANTS, indirect=["image"])
def test_variant_loads_every_format_that_it_is_said_to(image: Image, name: str, tmp_path: Path) -> None:
    directory = tmp_path / "job"
    stands_for = sources.copy(name, directory / "in")
    roles = {"caffe": ("prototxt", "caffemodel"), "darknet": ("cfg", "weights")}.get(name, ("model",))
    files = dict(zip(roles, (f"in/{file}" for file in sources.WHOLE[name]), strict=True))
    if name == "caffe":  # of which the toolkit cannot load a network of one layer
        with stands_for.open("a") as prototxt:
            prototxt.write('layer { name: "relu" type: "ReLU" bottom: "conv" top: "y" }\n')
    result = run(image, directory, Source(name, files, *INTERFACES.get(name, ([], [], []))), 8)
    assert result.fault is None, (result.fault, (directory / "log.txt").read_text()[-2000:])
    assert len(result.simulated) == len(result.reference) == 1, result.warnings
    simulated, reference = (
        numpy.load(directory / "out" / files[0]) for files in (result.simulated, result.reference)
    )
    assert simulated.shape == reference.shape
    assert numpy.abs(simulated - reference).max() < 0.01 * numpy.abs(reference).max()


def convert(
    image: Image,
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any],
    output: Sequence[int],
) -> Result:
    """Convert a graph from x (1x3x32x32) to y for rk3588 in fp16, with one held-out input."""
    directory = folder / "job"
    (directory / "in").mkdir(parents=True)
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, directory / "in" / "model.onnx")
    return run(image, directory, Source("onnx", {"model": "in/model.onnx"}, [], [], []), 32)


def run(image: Image, directory: Path, source: Source, side: int) -> Result:
    """Convert a source in a job directory for rk3588 in fp16, with one held-out picture."""
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
    mounted = [(str(directory), "/jobs/job", "rw")]
    user = f"{os.getuid()}:{os.getgid()}"
    status, _, err = image.run("/jobs/job", volumes=mounted, user=user)
    assert status == 0, err
    return contract.read_result(str(directory / "result.json"))
