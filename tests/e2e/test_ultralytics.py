"""Real exports of Ultralytics: made where checkpoints are exported, recognised, laid out, converted.

The package is AGPL-3.0: its exports are not kept.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from host.decoding.contract import Decode
from host.decoding.decoder import Detections, decode
from host.engines import local
from host.graph.layouts import LAYOUTS
from host.graph.prepare import prepare
from host.graph.proof import distance
from host.sources.onnx import model as onnx_model
from host.sources.onnx.trial import run
from shared import chips
from tests.conftest import ROOT, Command
from tests.e2e.conftest import built

SIDE = 160
EXPORTS: Mapping[str, tuple[int, str, str, bool]] = {
    "yolov8n": (12, "yolov8", "detect", False),
    "yolo11n-pose": (19, "yolov8", "pose", False),
    "yolov8n-seg": (19, "yolov8", "segment", False),
    "yolo11n-obb": (12, "yolov8", "obb", False),
    "yolo26n": (19, "yolo26", "detect", True),
    "yolov8n-cls": (12, "classifier", "classify", False),
}
"""Opset, family, task, and whether it is exported with its NMS-free end."""
DETECTORS = [name for name, (_, family, _, _) in EXPORTS.items() if family != "classifier"]


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ONNX file of every model."""
    folder = tmp_path_factory.mktemp("ultralytics")
    python = str(local.interpreter(built("frameworks", "pytorch")))
    script = str(ROOT / "benchmarks" / "export_ultralytics.py")
    for opset, end2end in {(opset, end2end) for opset, _, _, end2end in EXPORTS.values()}:
        names = [name for name, (each, _, _, end) in EXPORTS.items() if (each, end) == (opset, end2end)]
        options = ["--sizes", str(SIDE), "--opsets", str(opset), *["--end2end"] * end2end]
        command = [python, script, str(folder), *options, "--models", *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return {
        name: folder / f"{name}{'-e2e' * end2end}-{SIDE}-op{opset}.onnx"
        for name, (opset, _, _, end2end) in EXPORTS.items()
    }


def found(proto: ModelProto, how: Decode) -> Detections:
    """What a graph finds in noise other than the preparation's own."""
    image = np.random.default_rng(7).random((1, 3, SIDE, SIDE), np.float32)
    names = [value.name for value in proto.graph.output]
    return decode(dict(zip(names, run(proto, {"images": image}), strict=True)), how)


@pytest.mark.parametrize("name", EXPORTS)
def test_recognised(exports: Mapping[str, Path], name: str) -> None:
    proto = onnx_model.load(exports[name], chips.toolkit("toolkit2")).proto
    raw = prepare(proto, "raw")
    opset, family, task, end2end = EXPORTS[name]
    assert (raw.source.family, raw.source.task, raw.source.nms) == (family, task, not end2end)
    assert proto.opset_import[0].version == opset
    assert bool(raw.mixed) == (name in DETECTORS), "decoded heads are flagged, others are not"


@pytest.mark.parametrize("name", DETECTORS)
def test_every_layout_finds_what_ultralytics_own_decoding_finds(
    exports: Mapping[str, Path], name: str
) -> None:
    proto = onnx_model.load(exports[name], chips.toolkit("toolkit2")).proto
    for layout in ("auto", *LAYOUTS):
        prepared = prepare(proto, layout)
        own, prepared_one = found(proto, prepared.source), found(prepared.proto, prepared.decode)
        gap = distance(own, prepared_one, (SIDE, SIDE))
        assert gap.same, (layout, gap)
        assert not (prepared.mixed and layout == "auto")


@pytest.mark.toolkit
def test_converts_with_default_flags(exports: Mapping[str, Path], rkforge: Command, tmp_path: Path) -> None:
    """One that rknn-toolkit2 refuses as it was exported, and whose scores int8 kills as it was exported."""
    ended = rkforge(
        *("convert", "--model", str(exports["yolov8n"]), "--chip", "rk3588,rv1106"),
        *("--engine", "local", "--output", str(tmp_path / "out"), "--json"),
    )
    assert ended.status == 0, ended.stderr
    layouts = {}
    for path in (tmp_path / "out").rglob("model.decode.json"):
        meaning = json.loads(path.read_text(encoding="utf-8"))
        assert meaning["task"] == "detect"
        layouts[meaning["chip"]] = (meaning["decoder"]["layout"], len(meaning["outputs"]))
    assert layouts == {"rk3588": ("raw", 1), "rv1106": ("branches", 9)}, "floats keep what integers lose"
