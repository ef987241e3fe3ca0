"""From the user's files to a model that a toolkit takes, along one of the routes."""

from dataclasses import replace
from pathlib import Path

from host import export, routes
from host.console import Screen
from host.engines.protocol import Engine
from host.export import Export
from host.plan import Plan
from host.settings import Settings
from host.sources import darknet
from host.sources.native import model as native
from host.sources.native.model import NativeSource
from host.sources.onnx import model as onnx_model
from host.sources.onnx.model import Cut, OnnxSource
from host.sources.recognition import archives
from host.sources.source import Source
from shared import chips


def load(
    settings: Settings, source: Source, each: Plan, engine: Engine, folder: Path, screen: Screen
) -> OnnxSource | NativeSource:
    """The model as the plan's toolkit takes it.

    Args:
        settings: of the request.
        source: the user's files.
        each: any of the plans that share the route and the environment.
        engine: runs the exporter where the route has one.
        folder: for what is unpacked or exported; made where that is needed.
        screen: is told what goes on.

    Raises:
        Fault: any of the model-* codes; those of an exporter.
    """
    toolkit = chips.toolkit(each.environment.toolkit)
    source = archives.unpack(source, folder / "unpacked")
    if each.route.by == routes.NATIVE:
        return _native(settings, source, toolkit, folder / "rewritten")
    if each.route.by == routes.EXPORT:
        made = export.to_onnx(settings, source, each.route, toolkit.max_opset, engine, folder, screen)
        return _exported(settings, made, toolkit)
    return graph(settings, source, toolkit)


def graph(settings: Settings, source: Source, toolkit: chips.Toolkit) -> OnnxSource:
    """The model as a graph, on the routes that need no exporter.

    Raises:
        Fault: any of the model-* codes.
    """
    if source.format == chips.ONNX:
        cut = Cut(settings.inputs, settings.outputs, settings.input_sizes)
        return onnx_model.load(source.files["model"], toolkit, settings.size, cut)
    proto = darknet.to_onnx(source.files["cfg"], source.files["weights"])
    return onnx_model.check(proto, source.files["cfg"], toolkit, settings.size)


def _native(settings: Settings, source: Source, toolkit: chips.Toolkit, folder: Path) -> NativeSource:
    """The model for the toolkit's own loader; files that have to be rewritten go to `folder`."""
    asked = settings.inputs, settings.outputs, settings.input_sizes
    loaded = native.load(source, toolkit, *asked, settings.size, folder)
    hints = chips.formats()[source.format].hints
    told = [hint for field, hint in hints.items() if not getattr(settings, field)]
    return replace(loaded, notes=(*loaded.notes, *told))


def _exported(settings: Settings, made: Export, toolkit: chips.Toolkit) -> OnnxSource:
    """The graph that an exporter made, with what it had to say."""
    loaded = onnx_model.load(made.path, toolkit, settings.size)
    proof = f"the ONNX file's outputs differ from the framework's by {made.facts['difference']:.0e} at most"
    return replace(loaded, notes=(*made.facts["notes"], proof, *loaded.notes))
