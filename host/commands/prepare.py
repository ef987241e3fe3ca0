"""`invoke prepare`: the graph as a conversion would give it to the toolkit, and what was changed."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host import plan, routes
from host.console import Screen
from host.results import delivery
from host.settings import Settings
from host.sources.recognition.recognise import recognise
from shared import chips
from shared.faults import Fault

if TYPE_CHECKING:
    from host.sources.onnx.model import OnnxSource
    from host.steps.models import Model

FILE = "prepared.onnx"
DTYPE = "int8"
"""Assumed where the chip has it: it is what graphs are prepared for."""


def run(settings: Settings, screen: Screen, as_json: bool) -> int:
    """Prepare the model for every chip; write each graph and, beside it, the list of changes as JSON.

    Raises:
        Fault: output-invalid, those of the model, and those of the preparation.
    """
    output = settings.output
    if output is not None and output.suffix == ".onnx" and len(settings.chips) > 1:
        raise Fault(
            "output-invalid", "one .onnx file cannot hold several chips", "Name a folder with --output."
        )
    with tempfile.TemporaryDirectory() as scratch:
        made = _prepare(settings, Path(scratch), screen)
    if as_json:
        screen.json({"status": "ok", "prepared": made})
        return 0
    for each in made:
        screen.print(f"{each['path']}  {each['dtype']} for {each['chip']}")
        for change in each["changes"]:
            screen.print(f"  {change['by']}: {change['what']}")
        if not each["changes"]:
            screen.print("  nothing to change")
    return 0


def _prepare(settings: Settings, scratch: Path, screen: Screen) -> list[dict[str, Any]]:
    """What was prepared for each chip; chips share what they can."""
    from host.steps import models

    named = [chips.chip(name) for name in settings.chips]
    toolkits = {chip.toolkit.name: chip.toolkit for chip in named}
    sources = _read(settings, toolkits.values(), scratch)
    for line in dict.fromkeys(line for source in sources.values() for line in source.notes):
        screen.say(line)
    prepared: dict[tuple[str, plan.Preparation], Model] = {}
    made = []
    for chip in named:
        dtype = chips.dtype(chip, settings.dtype or (DTYPE if DTYPE in chip.offered else chip.offered[0]))
        target = _target(settings, f"{chip.name}-{dtype.name}")
        kind = chip.toolkit.name, plan.preparation(chip, dtype, settings.head)
        source = sources[chip.toolkit.name]
        if kind not in prepared:
            folder = scratch / f"model-{len(prepared)}"
            prepared[kind] = models.make(source, kind[1], chip.toolkit, folder)
        model = prepared[kind]
        facts = {"chip": chip.name, "dtype": dtype.name, **model.to_json(), "notes": list(source.notes)}
        listed = scratch / "changes"
        listed.write_text(_text({**facts, "decode": model.decode.to_json()}), encoding="utf-8")
        delivery.deliver({target.with_suffix(".json"): listed, target: model.file})
        for line in model.warnings:
            screen.warn(f"{chip.name}: {line}")
        made.append({"path": str(target), **facts})
    return made


def _read(settings: Settings, toolkits: Iterable[chips.Toolkit], scratch: Path) -> dict[str, "OnnxSource"]:
    """The model as a graph, for each toolkit, where that needs no engine."""
    from host import loading
    from host.sources.recognition import archives

    source = recognise(settings.models)
    for toolkit in toolkits:
        route = routes.find(source.format, toolkit, darknet=settings.darknet)[0]
        if route.by not in (routes.ONNX, routes.BRIDGE):
            title = chips.formats()[source.format].title
            raise Fault(
                "model-format", f"{title} has no graph to prepare", "Make it ONNX with `invoke export`."
            )
    source = archives.unpack(source, scratch / "unpacked")
    return {toolkit.name: loading.graph(settings, source, toolkit) for toolkit in toolkits}


def _target(settings: Settings, name: str) -> Path:
    output = settings.output
    if output is None:
        return Path("out") / settings.model.stem / name / FILE
    if output.suffix == ".onnx":
        return output
    return (output if len(settings.chips) == 1 else output / name) / FILE


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
