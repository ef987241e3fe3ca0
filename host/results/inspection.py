"""`invoke inspect`: a .rknn file in words, read from its own bytes."""

from pathlib import Path

from host.console import Screen
from host.results import card
from shared import rknn_file


def show(path: Path, screen: Screen, as_json: bool) -> int:
    """Print what the file says about itself; Fault rknn-invalid when it is none."""
    parsed = rknn_file.read(str(path))
    own = card.read(parsed.custom_string)
    if as_json:
        screen.json({"path": str(path), **parsed.to_json(), "card": own})
        return 0
    screen.print(f"{path}: {parsed.size} bytes, .rknn format {parsed.format:#x}")
    screen.print(f"chip      {parsed.platform}")
    screen.print(f"toolkit   {parsed.toolkit_version} (compiler {parsed.compiler_version})")
    if own is None:
        screen.print(f"custom    {parsed.custom_string or '-'}")
    for name, value in (own or {}).items():
        screen.print(f"{name:<9} {_text(value)}")
    rows = []
    for kind, tensors in (("input", parsed.inputs), ("output", parsed.outputs)):
        for tensor in tensors:
            scale = "-" if tensor.scale is None else f"{tensor.scale:.9g}"
            zero = "-" if tensor.zero_point is None else str(tensor.zero_point)
            shape = "x".join(map(str, tensor.shape))
            rows.append([kind, tensor.name, shape, tensor.dtype, tensor.layout or "-", scale, zero])
    screen.table(["", "name", "model shape", "dtype", "runtime layout", "scale", "zero point"], rows)
    return 0


def _text(value: object) -> str:
    """A value of the card as people write it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
