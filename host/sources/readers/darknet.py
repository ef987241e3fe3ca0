"""Reads a Darknet network: the .cfg, and whether the .weights file is as long as that needs."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from host.sources.darknet import cfg, sections, weights
from host.sources.source import Interface, Port

_INPUT = "image"
FIRST = "route to layer 0"
"""Listed among the operators where a route names the first layer by its number: loaders differ on it."""


def read(files: Mapping[str, Path]) -> Interface:
    """What cfg and weights tell; outputs are called as the bridge calls its layers.

    Raises:
        Fault: model-invalid, model-op, model-shape; model-data-missing or model-weights.
    """
    network = cfg.read(files["cfg"])
    header = weights.check(files["weights"], network)
    to_first = sum(
        "0" in section.text("layers").replace(" ", "").split(",")
        for section in sections.parse(files["cfg"])
        if section.name == "route"
    )
    return Interface(
        version=f"weights {header}",
        inputs=(Port(_INPUT, (1, *network.input), "float32"),),
        outputs=tuple(
            Port(layer.name, (1, *layer.outer), "float32") for layer in network.grids or (network.last,)
        ),
        operators=Counter(layer.title for layer in network.layers) + Counter({FIRST: to_first}),
        parameters=weights.count(network),
    )
