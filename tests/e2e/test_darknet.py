"""A Darknet detector through the bridge: cut for int8, alive, and finding what the float model finds."""

import json
import shutil
from pathlib import Path

import pytest

from host.results import decode
from host.sources.darknet import cfg
from tests import darknets
from tests.conftest import ROOT, Command

TINY = ROOT / "tests" / "data" / "darknet" / "yolov3-tiny.cfg"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """yolov3-tiny with random numbers."""
    model = tmp_path_factory.mktemp("models") / TINY.name
    shutil.copyfile(TINY, model)
    darknets.write_weights(model.with_suffix(".weights"), cfg.read(model))
    return model


def test_yolov3_tiny_in_int8_finds_what_the_float_model_finds(
    engine: str, tiny: Path, rkforge: Command, tmp_path: Path
) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--dtype", "int8", "--model", str(tiny)),
        *("--engine", engine, "--output", "out", "--json"),
    )
    assert ended.status == 0, ended.stderr
    assert "YOLOv3, v4: exponents of anchors: 4 outputs as branches6" in ended.stderr
    (checks,) = ended.document["checks"]
    assert checks["verdict"] == "ok"
    found = checks["decoded"]
    assert found["expected"] > 30
    assert found["found"] / found["expected"] > 0.8
    assert found["mean_iou"] > 0.9
    content = json.loads((tmp_path / "out" / decode.NAME).read_text(encoding="utf-8"))
    assert content["decoder"]["family"] == "yolov3"
    assert [round(width) for sizes in content["decoder"]["anchors"] for width, _ in sizes] == [
        *(81, 135, 344),
        *(10, 23, 37),
    ]
