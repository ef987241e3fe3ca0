"""What a model says about itself besides its graph: exporters write class names into its metadata."""

import ast
from pathlib import Path

from onnx import ModelProto

from shared.faults import Fault


def labels(proto: ModelProto) -> tuple[str, ...]:
    """The class names in order, from the entry `names` that Ultralytics and YOLOv5 write; empty without it.

    The entry is a Python literal, {0: 'person', 1: 'bicycle'} or a list.
    """
    text = next((entry.value for entry in proto.metadata_props if entry.key == "names"), "")
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            return ()
        names = [names[number] for number in range(len(names))]
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line; blank lines do not count. Fault bad-option without any."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeError:
        raise Fault("bad-option", f"labels: {path} is no text in UTF-8") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise Fault("bad-option", f"labels: {path} holds none")
    return names
