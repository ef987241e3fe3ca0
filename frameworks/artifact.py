"""Judges the file that a framework exported, without a library that could be harmed by it."""

import os

from shared.artifact import measured
from shared.contract import Artifact, Job
from shared.faults import Fault

IR_VERSION = b"\x08"
"""The tag of the first field of every ONNX file that an exporter writes."""


def verify(job: Job, path: str) -> Artifact:
    """The ONNX file in `path`; Fault artifact-invalid when there is none."""
    if not os.path.isfile(path):
        raise Fault("artifact-invalid", "the framework left no ONNX file")
    with open(path, "rb") as stream:
        if stream.read(1) != IR_VERSION:
            raise Fault("artifact-invalid", "what the framework left is no ONNX file")
    return measured(job, path)
