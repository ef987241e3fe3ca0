"""Checkpoints of Ultralytics to ONNX, by its own exporter: a static shape, and no NMS."""

import os
import shutil
import tempfile

from frameworks import network
from frameworks.exported import Exported
from shared.contract import Job


def export(job: Job, path: str) -> Exported:
    """Write the checkpoint's network to `path` as ONNX, with Ultralytics' metadata, class names among it.

    Without a size in the job it is the one that the network was trained at.
    """
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["YOLO_CONFIG_DIR"] = scratch
        from ultralytics import YOLO
        from ultralytics.engine.exporter import Exporter

        # its loader knows a checkpoint by its suffix, and its exporter writes beside it
        linked = os.path.join(scratch, "model.pt")
        os.symlink(os.path.abspath(job.source.files["model"]), linked)
        loaded = YOLO(linked).model
        size = job.config["size"]
        wanted = {
            "format": "onnx",
            "imgsz": size[::-1] if size else loaded.args.get("imgsz", 640),
            "opset": min(job.config["opset"], network.NEWEST_OPSET),
            "batch": 1,  # it keeps the training's
            "simplify": False,
            "device": "cpu",
        }
        exporter = Exporter(overrides={**wanted, "mode": "export", "model": linked, "verbose": False})
        shutil.move(exporter(model=loaded), path)
    made = exporter.model
    height, width = exporter.imgsz
    notes = [f"Ultralytics exported it for images of {width}x{height}, without NMS"]
    labels = [str(made.names[number]) for number in sorted(made.names)]
    return Exported(network.runner(made), labels, notes)
