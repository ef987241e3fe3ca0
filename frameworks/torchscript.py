"""TorchScript to ONNX. PyTorch's C++ reader loads it: there is no pickle to run code."""

import torch

from frameworks import network
from frameworks.exported import Exported
from shared.contract import Job


def export(job: Job, path: str) -> Exported:
    """Write the model to `path` as ONNX."""
    return network.export(job, torch.jit.load(job.source.files["model"], map_location="cpu"), path)
