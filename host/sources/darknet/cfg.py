"""Reads a .cfg as a network: every layer with its sizes.

The options and their defaults are those of Darknet itself (pjreddie/darknet and AlexeyAB/darknet, parser.c).
What would compute something else than is built here is refused, never skipped.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from pathlib import Path

from host.sources.darknet import grids, parsers
from host.sources.darknet.layers import Grid, Layer, Shape
from host.sources.darknet.place import MOST_LAYERS, Place, size_text
from host.sources.darknet.sections import Section, parse

_NETWORK = ("net", "network")
_LONGEST = 1 << 14  # of an image's side
_MOST_VALUES = 1 << 28  # of one layer's output: a gigabyte

# sections of Darknet that this bridge has no layer for
_REFUSED = (
    *("Gaussian_yolo", "batchnorm", "contrastive", "conv_lstm", "crnn", "deconv", "deconvolutional"),
    *("detection", "empty", "gru", "history", "implicit", "iseg", "l2norm", "local", "local_avg"),
    *("local_avgpool", "logistic", "logxent", "lrn", "lstm", "normalization", "reorg3d", "rnn", "silence"),
)

# options that make a section compute something else
_ALTERING = {
    "convolutional": (
        *("antialiasing", "assisted_excitation", "binary", "bin_output", "cbn", "coordconv", "dontload"),
        *("dontloadscales", "flipped", "reverse", "rotate", "share_index", "stretch", "stretch_sway", "sway"),
        "xnor",
    ),
    "connected": ("dontload", "dontloadscales"),
    "maxpool": ("antialiasing", "maxpool_depth"),
    "region": ("background", "tree", "map"),
    "reorg": ("extra", "flatten", "reverse"),
    "shortcut": ("alpha", "beta", "weights_type"),
    "softmax": ("spatial", "tree"),
    "yolo": ("embedding_layer", "map"),
}
_HARMLESS = {"alpha": "1", "beta": "1", "weights_type": "none"}


_ALIASES = {
    "avg": "avgpool",
    "conn": "connected",
    "conv": "convolutional",
    "max": "maxpool",
    "soft": "softmax",
}
_PARSERS = parsers.PARSERS | grids.PARSERS
_PARSERS |= {alias: _PARSERS[name] for alias, name in _ALIASES.items()}


@dataclass(frozen=True)
class Network:
    """A .cfg that was understood."""

    path: Path
    input: Shape
    layers: tuple[Layer, ...]

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The layers that tell of boxes; none in a network that is no detector."""
        return tuple(layer for layer in self.layers if isinstance(layer, Grid))

    @property
    def last(self) -> Layer:
        """What a network without grids gives."""
        return self.layers[-1]

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """The layers that have numbers in the .weights file, in its order."""
        return tuple(layer for layer in self.layers if layer.weights)


def read(path: Path) -> Network:
    """Read a .cfg.

    Raises:
        Fault: model-invalid for what Darknet could not read either (with its line), model-op for a section,
            option or activation that there is no layer for, file-access.
    """
    sections = parse(path)
    if not sections or sections[0].name not in _NETWORK:
        first = sections[0] if sections else Section("", 1, {}, path)
        raise first.wrong("a Darknet .cfg begins with [net]")
    net, *others = sections
    for section in others:
        if section.name not in _PARSERS:
            raise _unknown(section)
    if not 1 <= len(others) <= MOST_LAYERS:
        raise net.wrong(f"{len(others)} layers follow, 1 to {MOST_LAYERS} can be")
    height, width, channels = (
        net.whole(key, default, 1, _LONGEST)
        for key, default in (("height", 0), ("width", 0), ("channels", 0))
    )
    if not height or not width or not channels:
        raise net.wrong("height, width and channels must be given: only networks on images can be converted")
    image = (channels, height, width)
    layers: list[Layer] = []
    for section in others:
        _refuse_altering(section)
        layer = _PARSERS[section.name](section, Place(layers, image))
        if min(layer.outer) < 1 or prod(layer.outer) > _MOST_VALUES:
            raise section.wrong(
                f"layer {layer.number} would give {size_text(layer.outer)}", code="model-shape"
            )
        layers.append(layer)
    network = Network(path, image, tuple(layers))
    if len({grid.classes for grid in network.grids}) > 1:
        raise net.wrong("its detectors' classes= differ")
    return network


def _unknown(section: Section) -> Exception:
    if section.name in _NETWORK:
        return section.wrong("there is a [net] before")
    if section.name in _REFUSED:
        return section.wrong(
            "rkforge has no such layer",
            code="model-op",
            hint="Convert a network without this section.",
        )
    near = get_close_matches(section.name, _PARSERS, 1)
    return section.wrong(
        "Darknet has no such section" + (f", is it [{near[0]}]?" if near else ""), code="model-op"
    )


def _refuse_altering(section: Section) -> None:
    for key in _ALTERING.get(_ALIASES.get(section.name, section.name), ()):
        value = section.text(key, "0")
        if value not in ("0", _HARMLESS.get(key)):
            raise section.wrong(
                f"{key}={value[:40]} is not supported",
                key,
                "model-op",
                "Convert a network without this option.",
            )
