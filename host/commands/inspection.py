"""`invoke inspect`: a .rknn file in words, from its own bytes or, where those cannot be read, its record."""

from pathlib import Path

from host.console import Screen
from host.results import card, record
from host.sources.fingerprint import file_digest
from shared import rknn_file
from shared.faults import Fault


def show(path: Path, screen: Screen, as_json: bool) -> int:
    """Print what is known about the file; Fault rknn-invalid when that is nothing."""
    try:
        parsed = rknn_file.read(str(path))
    except Fault as fault:
        return _show_record(path, screen, as_json, fault)
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


def _show_record(path: Path, screen: Screen, as_json: bool, fault: Fault) -> int:
    """What the record beside a file tells about it; `fault` when there is no record of these bytes."""
    found = path.is_file() and record.beside(path, file_digest(path).hex())
    if not found:
        hint = f"A file of a format that rkforge does not read is shown from the {record.NAME} beside it."
        raise Fault(fault.code, fault.message, f"{fault.hint} {hint}")
    home, recorded = found
    asked, model = recorded["request"], recorded["model"]
    document = {
        "path": str(path),
        "record": str(home),
        "size": recorded["artifact"]["size"],
        "platform": asked["chip"],
        "toolkit_version": recorded["toolkit"]["version"],
        "dtype": asked["dtype"],
        "inputs": model["inputs"],
        "outputs": model["outputs"],
    }
    if as_json:
        screen.json(document)
        return 0
    screen.print(f"{path}: {document['size']} bytes, of a format that rkforge does not read; from {home}:")
    screen.print(f"chip      {document['platform']}")
    screen.print(f"toolkit   {recorded['toolkit']['name']} {document['toolkit_version']}")
    screen.print(f"dtype     {document['dtype']}")
    rows = [
        [kind, tensor["name"], "x".join(map(str, tensor["shape"])), tensor["dtype"]]
        for kind in ("input", "output")
        for tensor in model[f"{kind}s"]
    ]
    screen.table(["", "name", "model shape", "model dtype"], rows)
    return 0
