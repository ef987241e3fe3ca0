"""The legacy image: real dependencies that work together, layers that stay, and what a missing wheel says."""

import shutil
from pathlib import Path

import docker
import pytest

from host.engines import recipe
from tests import checkout, double
from tests.images.conftest import docker_build
from tests.images.sealed import Image
from tests.unit.test_install import pins

pytestmark = pytest.mark.docker

MODULES = (
    *("numpy", "scipy", "networkx", "flatbuffers", "google.protobuf", "ruamel.yaml", "psutil", "ply.yacc"),
    *("sklearn.cluster", "matplotlib.pyplot", "tqdm", "flask", "jinja2", "requests"),
    *("onnx", "onnxruntime", "onnxoptimizer", "cv2"),
)
FRAMEWORKS = ("torch", "tensorflow")
STEPS = """
import sys
import cv2, numpy, onnx, onnxruntime, onnxoptimizer, tensorflow, torch

# PyTorch: trace, save, load, export; ONNX: check, optimize, run
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()).eval()
image = torch.rand(1, 3, 32, 32)
torch.jit.trace(net, image).save("net.pt")
expected = torch.jit.load("net.pt")(image).detach().numpy()
torch.onnx.export(net, image, "net.onnx", opset_version=12)
model = onnxoptimizer.optimize(onnx.load("net.onnx"), ["fuse_bn_into_conv"])
onnx.checker.check_model(model)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
assert found.std() > 0.01 and abs(found - expected).max() < 1e-5

# TensorFlow, as a calibration queue: read a picture, decode, resize
picture = numpy.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype("uint8")
cv2.imwrite("picture.png", picture)
tf = tensorflow.compat.v1
with tf.Graph().as_default(), tf.Session() as session:
    names = tf.train.string_input_producer(["picture.png"], num_epochs=1, shuffle=False)
    decoded = tf.image.decode_image(tf.WholeFileReader().read(names)[1])
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    coordinator = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(coord=coordinator)
    assert (session.run(decoded)[..., ::-1] == picture).all()
    coordinator.request_stop()
    coordinator.join(threads)
print("all steps", sys.version_info[:2])
"""


def test_dependencies_import_without_network(dependencies: Image) -> None:
    lines = [f"import {name}" for name in MODULES + FRAMEWORKS]
    lines += ["print(torch.__version__, tensorflow.__version__, cv2.__version__, onnx.__version__)"]
    found = dependencies.python("\n".join(lines)).split()
    environment = dependencies.environment
    parts = recipe.of("legacy").parts(environment.version, environment.python, environment.variant, "")
    pinned = pins([part.lock for part in parts])
    names = ("torch", "tensorflow-cpu", "opencv-python-headless", "onnx")
    for version, name in zip(found, names, strict=True):
        assert pinned[name].startswith(version.partition("+")[0]), name


def test_dependencies_do_what_the_toolkit_needs_them_for(dependencies: Image) -> None:
    out = dependencies.python(STEPS, working_dir="/tmp")
    assert out.splitlines()[-1] == "all steps (3, 8)"


def test_dependencies_leave_no_compiler(dependencies: Image) -> None:
    assert (
        dependencies.python("import shutil; print(shutil.which('gcc'), shutil.which('ld'))") == "None None\n"
    )


def test_wheel_and_driver_are_the_only_further_layers(
    dependencies: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builds with differing driver and wheel share every byte of the dependencies."""
    client = docker.from_env()
    below = client.images.get(dependencies.name)
    made = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(double, "METADATA", f"{double.METADATA}Keywords: build {number}\n")
        copy = checkout.copy(folder / "checkout", "legacy", double.build_wheel(folder))
        with (copy / "legacy" / "files.py").open("a") as stream:
            stream.write(f"# {number}\n")
        name = f"rkforge/legacy:layers-{number}"
        status, log = docker_build(dependencies.environment, name, copy)
        assert status == 0, log[-2000:]
        made.append(client.images.get(name))
        client.images.remove(name)
    layers = [image.attrs["RootFS"]["Layers"] for image in made]
    shared = below.attrs["RootFS"]["Layers"]
    assert [each[: len(shared)] for each in layers] == [shared, shared]
    assert not set(layers[0][len(shared) :]) >= set(layers[1][len(shared) :])
    assert all(image.attrs["Size"] - below.attrs["Size"] < 5e6 for image in made)


def test_build_without_the_wheel_says_what_is_missing(dependencies: Image, tmp_path: Path) -> None:
    wheel = double.build_wheel(tmp_path)
    copy = checkout.copy(tmp_path / "checkout", "legacy", wheel)
    shutil.rmtree(copy / "images" / "legacy" / "wheels")
    (copy / "images" / "legacy" / "wheels").mkdir()
    status, log = docker_build(dependencies.environment, "rkforge/legacy:without", copy)
    assert status != 0
    assert "Traceback" not in log
    for part in (wheel.name, checkout.NOWHERE, "images/legacy/wheels", "invoke build --toolkit legacy"):
        assert part in log
