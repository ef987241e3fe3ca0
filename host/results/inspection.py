"""`invoke inspect`: a .rknn file in words, read from its own bytes."""

from pathlib import Path

from host.console import Screen
from shared import rknn_file


def show(path: Path, screen: Screen, as_json: bool) -> int:
    """Print what the file says about itself; Fault rknn-invalid when it is none."""
    parsed = rknn_file.read(str(path))
    if as_json:
        screen.json({"path": str(path), **parsed.to_json()})
        return 0
    screen.print(f"{path}: {parsed.size} bytes, .rknn format {parsed.format:#x}")
    screen.print(f"chip      {parsed.platform}")
    screen.print(f"toolkit   {parsed.toolkit_version} (compiler {parsed.compiler_version})")
    screen.print(f"custom    {parsed.custom_string or '-'}")
    rows = []
    for kind, tensors in (("input", parsed.inputs), ("output", parsed.outputs)):
        for tensor in tensors:
            scale = "-" if tensor.scale is None else f"{tensor.scale:.9g}"
            zero = "-" if tensor.zero_point is None else str(tensor.zero_point)
            shape = "x".join(map(str, tensor.shape))
            rows.append([kind, tensor.name, shape, tensor.dtype, tensor.layout or "-", scale, zero])
    screen.table(["", "name", "model shape", "dtype", "runtime layout", "scale", "zero point"], rows)
    return 0
