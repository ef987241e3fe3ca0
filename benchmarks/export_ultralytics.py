"""Makes lively exports of Ultralytics' architectures with random weights: material for benchmarks/heads.py.

Runs in the environment that exports checkpoints and has the package (AGPL-3.0, no dependency of rkforge):

    invoke build --toolkit frameworks --variant pytorch --engine local
    ~/.cache/rkforge/environments/frameworks-*-py311-????????????/bin/python \
        benchmarks/export_ultralytics.py FOLDER [--models yolov8n yolo11n-pose]

Freshly initialised weights give outputs that hardly depend on the input, so batch norms are set from one
batch of noise and the class biases, which start at "nothing here", are zeroed.
"""

import argparse
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

MODELS = [
    f"{family}n{task}" for family in ("yolov8", "yolo11", "yolo26") for task in ("", "-pose", "-seg", "-obb")
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[320, 640])
    parser.add_argument("--opsets", nargs="+", type=int, default=[12, 19])
    parser.add_argument("--end2end", action="store_true", help="the one-to-one head with its top 300 rows")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": scratch}
        os.chdir(scratch)
        for name in options.models:
            for size, opset in itertools.product(options.sizes, options.opsets):
                target = folder / f"{name}{'-e2e' * options.end2end}-{size}-op{opset}.onnx"
                if not target.exists():
                    shutil.move(export(name, size, opset, options.end2end), target)


def export(name: str, size: int, opset: int, end2end: bool) -> str:
    """The path of the ONNX file that Ultralytics writes for one architecture."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml")
    enliven(model.model)
    choice = {"nms": False} if end2end else {}
    path: str = model.export(format="onnx", imgsz=size, opset=opset, simplify=False, **choice)
    return path


def enliven(network: Any, side: int = 320) -> None:
    """Give batch norms the statistics of noise, and class branches no bias."""
    import torch

    norms = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.rand(4, 3, side, side))
        for name, weights in network.named_parameters():
            if "cv3." in name and name.endswith(".2.bias"):
                weights.zero_()
    network.eval()


if __name__ == "__main__":
    main()
