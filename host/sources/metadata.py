"""What a model says about itself besides its graph: exporters write class names into its metadata."""

import ast

from onnx import ModelProto


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
