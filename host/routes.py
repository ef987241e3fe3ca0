"""The ways from a model's format to a toolkit: as data, from the table of what reads what.

onnx     the toolkit gets the graph that rkforge prepared; all passes and checks work on it
bridge   rkforge itself turns the format into such a graph
native   the toolkit's own loader reads the user's file: no head can be cut, no quirk cured
export   an exporter turns the format into ONNX first
"""

from typing import NamedTuple

from shared import chips
from shared.faults import Fault

BRIDGED = ("darknet",)
"""Formats that rkforge turns into ONNX by itself."""
ONNX, NATIVE, BRIDGE, EXPORT = "onnx", "native", "bridge", "export"


class Route(NamedTuple):
    """A way from a format to a toolkit."""

    by: str
    """onnx, bridge, native or export."""
    variant: str
    """Of the toolkit's environment."""
    exporter: str = ""
    """Which kit exports, and in which variant; empty on other ways."""
    exporter_variant: str = ""

    def __str__(self) -> str:
        return f"{self.by} ({self.exporter} {self.exporter_variant})" if self.exporter else self.by


def find(name: str, toolkit: chips.Toolkit, variant: str = "", darknet: str = BRIDGE) -> list[Route]:
    """The ways from a format to a toolkit, the preferred one first; at least one.

    Args:
        name: of the format.
        toolkit: the converter.
        variant: of its environment, if the user named one.
        darknet: "bridge" or "native", how Darknet's files go.

    Raises:
        Fault: model-format where there is none.
    """
    ready, loader = _variant(toolkit, chips.ONNX, variant), _variant(toolkit, name, variant)
    found = []
    if ready and name == chips.ONNX:
        return [Route(ONNX, ready)]
    if ready and name in BRIDGED and darknet == BRIDGE:
        found.append(Route(BRIDGE, ready))
    if loader:
        found.append(Route(NATIVE, loader))
    if ready:
        found += _exports(name, ready)
    if not found:
        raise _no_way(name, toolkit, variant)
    return found


def into_onnx(name: str) -> list[Route]:
    """The ways from a format to an ONNX file, whatever reads it then."""
    bridged = [Route(BRIDGE, "")] if name in BRIDGED else []
    return bridged + _exports(name, "")


def _exports(name: str, ready: str) -> list[Route]:
    """The ways through exporters, `ready` being the toolkit's variant that reads ONNX."""
    return [
        Route(EXPORT, ready, exporter.name, variant)
        for exporter in chips.exporters().values()
        for variant in chips.reading(exporter, name)
    ]


def _variant(toolkit: chips.Toolkit, name: str, wanted: str) -> str:
    """The variant that reads a format: the one wanted, or the first that does; empty where none does."""
    able = chips.reading(toolkit, name)
    return next((variant for variant in able if wanted in ("", variant)), "")


def _no_way(name: str, toolkit: chips.Toolkit, variant: str) -> Fault:
    title = chips.formats()[name].title
    if variant and (others := chips.reading(toolkit, name) or chips.reading(toolkit, chips.ONNX)):
        return Fault(
            "bad-option",
            f"--variant {variant}: {toolkit.package} reads no {title} models there",
            f"Use --variant {' or '.join(others)}.",
        )
    return Fault("model-format", f"there is no way from {title} to {toolkit.package}", "Export it to ONNX.")
