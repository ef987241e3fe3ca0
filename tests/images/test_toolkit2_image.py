"""The toolkit2 images, run as the docker engine runs them: sealed, as any user, from a job directory."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from host.plan import Environment
from shared import chips, contract
from shared.contract import CONTRACT, Job, Result

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # no helper image: each test removes its container

from testcontainers.core.container import DockerContainer

pytestmark = pytest.mark.docker

TOOLKIT = chips.toolkit("toolkit2")
PROFILE = Path(__file__).parents[2] / "images" / "seccomp.json"
SEALED: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges", f"seccomp={PROFILE.read_text()}"],
    "pids_limit": 512,
    "mem_limit": "4g",
    "init": True,
}


@pytest.fixture(scope="module", params=TOOLKIT.variants)
def environment(request: pytest.FixtureRequest) -> Environment:
    """The default environment in each variant, its image built."""
    from host.engines.docker import DockerEngine

    wanted = Environment("toolkit2", TOOLKIT.versions[0], TOOLKIT.pythons[0], request.param)
    engine = DockerEngine()
    if not engine.ready(wanted):
        engine.build(wanted, print)
    return wanted


def run(environment: Environment, *command: str, **options: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a container with this command."""
    sealed = DockerContainer(environment.image, **SEALED, **options).with_command(list(command))
    with sealed.with_tmpfs_mount("/tmp", "mode=1777,exec") as container:
        status: int = container.get_wrapped_container().wait()["StatusCode"]
        out, err = container.get_logs()
        return status, out.decode(), err.decode()


def python(environment: Environment, code: str, **options: Any) -> str:
    """What the image's Python prints for `code`."""
    status, out, err = run(environment, "-c", code, entrypoint=["python"], **options)
    assert status == 0, err
    return out


def test_labels_say_what_is_inside(environment: Environment) -> None:
    labels = docker.from_env().images.get(environment.image).labels
    assert labels["rkforge.toolkit"] == "toolkit2"
    assert labels["rkforge.version"] == environment.version
    assert labels["rkforge.variant"] == environment.variant
    assert labels["rkforge.contract"] == str(CONTRACT)
    assert labels["org.opencontainers.image.version"] == environment.version


def test_versions_are_the_locks(environment: Environment) -> None:
    from images.toolkit2 import install

    out = python(environment, "import json; print(open('/opt/venv/rkforge.json').read())")
    lock = install.toolkit_lock(environment.version, environment.python).read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    for name, version in pins.items():
        assert re.search(rf'"{re.sub("[-_.]", "[-_.]", name)}": "{re.escape(version)}"', out)


def test_toolkit_starts_sealed_and_as_any_user(environment: Environment) -> None:
    code = "import os; from rknn.api import RKNN; RKNN(); print(os.getuid(), os.environ.get('HOME'))"
    assert python(environment, code, working_dir="/tmp").splitlines()[-1].startswith("1000 ")
    assert python(environment, code, user="4321:4321").splitlines()[-1].startswith("4321 ")


def test_nothing_is_compiled_at_start(environment: Environment) -> None:
    code = (
        "import os, sys; from rknn.api import RKNN; import shared.harness\n"
        "cached = [vars(m).get('__cached__') for m in list(sys.modules.values())]\n"
        "print([c for c in cached if c and c.startswith('/opt') and not os.path.exists(c)])"
    )
    assert python(environment, code).splitlines()[-1] == "[]"


def test_profile_allows_fixed_addresses(environment: Environment) -> None:
    status, _, err = run(environment, "-R", "true", entrypoint=["setarch"])
    assert status == 0, err


def test_simple_network_converts(environment: Environment, tmp_path: Path) -> None:
    weight = numpy.random.default_rng(0).normal(0, 0.2, (8, 3, 3, 3)).astype(numpy.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    result = convert(environment, tmp_path, nodes, {"w": weight}, [1, 8, 32, 32])
    assert result.fault is None
    assert result.artifact is not None
    assert result.artifact.platform == "rk3588"
    assert result.environment["addresses_fixed"] is True
    simulated = numpy.load(tmp_path / "job" / "out" / result.simulated[0])
    assert simulated.shape[1:] == (1, 8, 32, 32)
    assert simulated.std() > 0


def test_slim_refuses_what_needs_torch(environment: Environment, tmp_path: Path) -> None:
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
    result = convert(environment, tmp_path, nodes, weights, [1, 24, 1280])
    if environment.variant == "full":
        assert result.fault is None
        assert result.artifact is not None
    else:
        assert result.artifact is None
        assert result.fault is not None
        assert result.fault["code"] == "torch-needed"
        assert "torch." in result.fault["message"]


def convert(
    environment: Environment,
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
    image = numpy.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), dtype=numpy.uint8)
    numpy.save(directory / "in" / "heldout.npy", image)
    job = Job(
        contract=CONTRACT,
        chip="rk3588",
        toolkit_version=environment.version,
        model="in/model.onnx",
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
    status, _, err = run(environment, "/jobs/job", volumes=mounted, user=user)
    assert status == 0, err
    return contract.read_result(str(directory / "result.json"))
