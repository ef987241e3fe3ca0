"""What a pass gets and what it gives, and what comes out when all have run.

A pass is a function in a module of its own, under `passes`. It gets the graph so far and what was asked, and
returns the new graph with one line that says what it changed, or None when there is nothing for it to do.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from onnx import ModelProto

from host.decoding.contract import Decode
from host.graph.head import Head
from host.graph.ranges import Mixed


@dataclass(frozen=True)
class Request:
    """What a graph is prepared for."""

    head: str
    """auto, raw, branches, branches6, end2end or split."""
    activation_bits: int | None
    """8 or 16 when activations are integers, None when they are floats."""
    quirks: Collection[str] = ()
    """Names of passes that the chip needs besides those that every graph gets."""


@dataclass(frozen=True)
class Graph:
    """A model and what its outputs mean; a pass that changes outputs changes both."""

    proto: ModelProto
    decode: Decode
    head: Head | None = None
    """How the source's head was understood; given to the first pass, which lays it out."""


@dataclass(frozen=True)
class Change:
    """What one pass did."""

    by: str
    what: str


@dataclass(frozen=True)
class Prepared:
    """A graph that is ready for the toolkit, checked against its source."""

    proto: ModelProto
    decode: Decode
    source: Decode
    """What the source's own outputs mean."""
    changes: tuple[Change, ...]
    mixed: tuple[Mixed, ...]
    """In 8 bits, what still shares a scale with values of another range."""


Pass = Callable[[Graph, Request], tuple[Graph, str] | None]
