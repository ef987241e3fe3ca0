"""`invoke export`: a model of any format as an ONNX file, and beside it how that was made."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import yaml

from host import engines, routes
from host.console import Screen
from host.export import Export, to_onnx
from host.results import delivery
from host.settings import Settings
from host.sources.fingerprint import fingerprint
from host.sources.recognition import archives
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from shared import chips
from shared.faults import Fault

RECORD = "onnx_source.yaml"
VERSION = 1
"""Of the record."""


def run(settings: Settings, screen: Screen, as_json: bool) -> int:
    """Write the model as ONNX, and beside it how that was made.

    Raises:
        Fault: as `to_onnx`; output-invalid; model-format where there is no way to ONNX.
    """
    source = recognise(settings.models)
    target, record = _target(settings, source)
    with delivery.prepared(target.parent), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = _export(settings, archives.unpack(source, folder / "unpacked"), folder, screen)
        for note in made.facts["notes"]:
            screen.say(note)
        facts = _record(source, made, target)
        written = folder / RECORD
        text = yaml.safe_dump(
            {"onnx_source": VERSION, **facts}, sort_keys=False, allow_unicode=True, width=100
        )
        written.write_text(text, encoding="utf-8")
        delivery.deliver({record: written, target: made.path})
    if as_json:
        screen.json({"status": "ok", "path": str(target), "record": str(record), **facts})
        return 0
    screen.print(f"{target}  opset {facts['opset']}, {_ports(facts['inputs'])} -> {_ports(facts['outputs'])}")
    return 0


def _export(settings: Settings, source: Source, folder: Path, screen: Screen) -> Export:
    newest = [chips.chip(name).toolkit.max_opset for name in settings.chips]
    opset = settings.opset or min(newest or [each.max_opset for each in chips.toolkits().values()][:1])
    ways = routes.into_onnx(source.format)
    if not ways:
        title = chips.formats()[source.format].title
        raise Fault("model-format", f"there is no way from {title} to ONNX", "Convert it as it is.")
    if ways[0].by == routes.BRIDGE:
        return _by_rkforge(source, folder)
    engine, why = engines.choose(settings.engine)
    screen.say(f"engine {engine.name}: {why}")
    return to_onnx(settings, source, ways[0], opset, engine, folder, screen)


def _by_rkforge(source: Source, folder: Path) -> Export:
    import onnx

    from host.sources import darknet
    from host.sources.onnx.interface import static_shape
    from host.sources.onnx.opset import opset_of

    proto = darknet.to_onnx(source.files["cfg"], source.files["weights"])
    path = folder / f"{source.main.stem}.onnx"
    onnx.save(proto, path)
    ports = {
        side: [{"name": value.name, "shape": list(static_shape(value))} for value in values]
        for side, values in (("inputs", proto.graph.input), ("outputs", proto.graph.output))
    }
    return Export(path, {"opset": opset_of(proto), **ports, "labels": [], "notes": []}, {})


def _record(source: Source, made: Export, target: Path) -> dict[str, Any]:
    data = made.path.read_bytes()
    names = [path.name for path in source.files.values()]
    return {
        "source": {
            "format": source.format,
            "files": [source.archive.name] if source.archive else names,
            "sha256": fingerprint(source),
        },
        "artifact": {"file": target.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()},
        **made.facts,
        "environment": dict(made.environment),
    }


def _target(settings: Settings, source: Source) -> tuple[Path, Path]:
    output = settings.output
    if output is None or output.suffix != ".onnx":
        output = (output or Path("out") / source.main.stem) / f"{source.main.stem}.onnx"
    return output, output.with_name(f"{output.stem}.{RECORD}")


def _ports(ports: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['name']} {'x'.join(map(str, each['shape']))}" for each in ports)
