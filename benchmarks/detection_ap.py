"""What int8 costs a real detector: true AP50 of the float model, a naive conversion and the default one.

The model is arbez's YOLOX-s for codes (Apache-2.0), the images are made (see code_scenes.py), the int8 files
run in the vendor's simulator. Prints a markdown table; exit status 1 when the default loses more than 0.01.

    pip install -r benchmarks/requirements.txt && pip install --no-deps arbez==0.2.1
    python -m benchmarks.detection_ap [--chip rk3588] [--images 60] [--heads raw auto]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import code_scenes, simulator
from benchmarks.average_precision import ap50
from host.decoding.contract import Decode
from host.decoding.decoder import Detections, decode
from host.decoding.select import Boxes, select
from host.graph.layouts import HEADS
from host.quality import detections
from host.quality.reference import normalise, reference_outputs
from host.settings import Settings
from host.sources.onnx import model as onnx_model
from host.steps.normalisation import MEAN, STD
from shared import chips

CALIBRATION, TEST = 1, 2
"""Seeds."""
CALIBRATION_IMAGES = 24
"""Of which the conversion holds four back."""
FAINTEST = 0.01
"""Scores from here on count for the precision."""
MOST_LOST = 0.01


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chip", default="rk3588", type=chips.chip)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--heads", nargs="+", default=["raw", "auto"], choices=HEADS)
    options = parser.parse_args(arguments)
    scenes = code_scenes.scenes(options.images, TEST)
    images = np.stack([np.asarray(scene.image) for scene in scenes])
    truth = [_truth(scene) for scene in scenes]
    print("| | outputs | AP50 | boxes of the float model found again | mean IoU |")
    print("|---|---|---|---|---|")
    scores: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, scene in enumerate(code_scenes.scenes(CALIBRATION_IMAGES, CALIBRATION)):
            scene.image.save(Path(folder) / f"{number:03}.png")
        expected: list[Detections] = []
        for head in options.heads:
            settings = Settings(
                chips=(options.chip.name,), models=(_model(),), dataset=Path(folder), dtype="int8", head=head
            )
            prepared, outputs = simulator.simulate(settings, images)
            if not expected:
                expected = _float(settings, options.chip.toolkit, prepared.source, images)
                scores["float"] = ap50(truth, _selected(expected))
                print(f"| float model in ONNX Runtime | 1 | {scores['float']:.3f} | | |")
            found = [decode(answers, prepared.decode) for answers in zip(*outputs, strict=True)]
            scores[head] = ap50(truth, _selected(found))
            same = detections.compare(expected, found, prepared.decode.nms)
            cells = [
                f"int8 {options.chip.name}, --head {head}",
                f"{len(prepared.decode.outputs)} ({prepared.decode.layout})",
                f"{scores[head]:.3f}",
                f"{same.found} of {same.expected}, {same.extra} others",
                "" if same.mean_iou is None else f"{same.mean_iou:.3f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
    return 1 if scores["float"] - scores.get("auto", scores["float"]) > MOST_LOST else 0


def _model() -> Path:
    package = find_spec("arbez")
    if package is None or package.origin is None:
        sys.exit("the model is missing: pip install --no-deps arbez==0.2.1")
    return Path(package.origin).parent / "_assets" / "arbez_yolox_s.onnx"


def _truth(scene: code_scenes.Scene) -> Boxes:
    boxes = np.array([code.box for code in scene.codes])
    return Boxes(boxes, np.array([code.kind for code in scene.codes]), np.ones(len(boxes)))


def _float(
    settings: Settings, toolkit: chips.Toolkit, own: Decode, images: NDArray[np.uint8]
) -> list[Detections]:
    """What the source model finds in ONNX Runtime."""
    source = onnx_model.load(settings.model, toolkit)
    inputs = {source.inputs[0].name: normalise(images, settings.mean or MEAN, settings.std or STD)}
    outputs: dict[str, NDArray[Any]] = reference_outputs(source.proto, inputs)
    return [decode(answers, own) for answers in zip(*outputs.values(), strict=True)]


def _selected(found: Sequence[Detections]) -> list[Boxes]:
    return [select(each, nms=True, threshold=FAINTEST) for each in found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
