"""`invoke analyze`: what a model is, and which chips can get it by which way. Nothing of it is run."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host import routes
from host.console import Screen
from host.sources.onnx.interface import shape_text
from host.sources.parts import files_of
from host.sources.readers import READERS
from host.sources.recognition import archives
from host.sources.recognition.recognise import recognise
from host.sources.source import Interface, Port, Source
from shared import chips, pickles
from shared.faults import Fault

_WAYS = {
    routes.ONNX: "as it is",
    routes.BRIDGE: "rkforge makes it ONNX",
    routes.NATIVE: "by the toolkit's own loader",
    routes.EXPORT: "exported to ONNX first",
}
_LISTED = 12
_UNITS = (("G", 10**9), ("M", 10**6), ("k", 10**3))


def show(paths: list[Path], screen: Screen, as_json: bool) -> int:
    """Print what the model in some files, a folder or a zip is.

    Raises:
        Fault: model-* or bad-option when there is no model, an incomplete or a damaged one, or several.
    """
    source = recognise(paths)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            facts = _facts(source, archives.unpack(source, Path(scratch)))
        except Fault as fault:  # people know the archive, not where it was unpacked
            raise Fault(
                fault.code, fault.message.replace(scratch, str(source.archive)), fault.hint
            ) from fault
    if as_json:
        screen.json({"status": "ok", "analysis": facts})
        return 0
    _print(facts, screen)
    return 0


def _facts(source: Source, unpacked: Source) -> dict[str, Any]:
    reader = READERS.get(source.format)
    told = reader(unpacked.files) if reader else None
    return {
        "model": str(source.main),
        "format": source.format,
        "title": chips.formats()[source.format].title,
        "version": told.version if told else "",
        "archive": source.archive and str(source.archive),
        "files": {role: str(path) for role, path in source.files.items()},
        "size": sum(path.stat().st_size for path in files_of(unpacked).values()),
        "parameters": told.parameters if told else None,
        "inputs": [_port(port) for port in told.inputs] if told else [],
        "outputs": [_port(port) for port in told.outputs] if told else [],
        "operators": dict(sorted(told.operators.items(), key=_often)) if told else {},
        "custom_operators": list(told.custom) if told else [],
        "pickle": _pickle(unpacked),
        "routes": [_routes(source.format, toolkit, told) for toolkit in chips.toolkits().values()],
    }


def _often(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def _port(port: Port) -> dict[str, Any]:
    layout = {"channels_last": True} if port.channels_last else {}
    return {"name": port.name, "shape": list(port.shape), "dtype": port.dtype, **layout}


def _pickle(source: Source) -> dict[str, list[str]] | None:
    """The names that a checkpoint's pickle mentions, and those that loading it would need trust for."""
    if not chips.formats()[source.format].pickle:
        return None
    names = pickles.checkpoint_globals(str(source.files["model"]))
    return {"globals": names, "refused": pickles.refused(names)}


def _routes(name: str, toolkit: chips.Toolkit, told: Interface | None) -> dict[str, Any]:
    """The ways to one toolkit, the preferred one first, and operators that it would refuse."""
    try:
        ways = [route._asdict() for route in routes.find(name, toolkit)]
    except Fault:
        ways = []
    refused = {}
    if told is not None and name == chips.ONNX:
        reasons = chips.reasons(toolkit.unsupported_ops)
        refused = {each: reasons[each] for each in told.operators if each in reasons}
    names = [chip.name for chip in chips.chips().values() if chip.toolkit == toolkit]
    return {"toolkit": toolkit.name, "chips": names, "ways": ways, "refused_operators": refused}


def _print(facts: Mapping[str, Any], screen: Screen) -> None:
    about = [facts["title"], facts["version"], f"{_count(facts['size'])}B"]
    about += [f"{_count(facts['parameters']).strip()} parameters"] if facts["parameters"] is not None else []
    screen.print(f"{facts['model']}: {', '.join(filter(None, about))}")
    rows = list(facts["files"].items()) if len(facts["files"]) > 1 else []
    rows += [(word, _text(port)) for word in ("input", "output") for port in facts[f"{word}s"]]
    operators = [f"{name} {count}" for name, count in facts["operators"].items()]
    if len(operators) > _LISTED:
        operators[_LISTED:] = [f"{len(operators) - _LISTED} more kinds"]
    rows.append(("operators", ", ".join(operators)))
    rows.append(("custom", ", ".join(facts["custom_operators"])))
    if facts["pickle"]:
        rows.append(("pickle", ", ".join(facts["pickle"]["globals"])))
        rows.append(("not trusted", ", ".join(facts["pickle"]["refused"]) or "none of these"))
    for each in facts["routes"]:
        ways = [*map(_way, each["ways"])] or ["no way: export the model to ONNX"]
        rows += [("", ""), (each["toolkit"], ", ".join(each["chips"])), *(("", way) for way in ways)]
        rows += [("refuses", f"{name}: {reason}") for name, reason in each["refused_operators"].items()]
    for left, right in rows:
        if right or not left:
            screen.print(f"  {left:<12} {right}".rstrip())


def _way(way: Mapping[str, str]) -> str:
    by = f" by {way['exporter']}, variant {way['exporter_variant']}" if way["exporter"] else ""
    return f"{_WAYS[way['by']]}{by}; variant {way['variant']} of the toolkit"


def _text(port: Mapping[str, Any]) -> str:
    shape = shape_text(tuple(port["shape"])) if port["shape"] else "of unknown shape"
    return f"{port['name']} {port['dtype']} {shape}"


def _count(number: int) -> str:
    unit, size = next(((unit, size) for unit, size in _UNITS if number >= size), ("", 1))
    return f"{number / size:.1f} {unit}" if unit else f"{number} "
