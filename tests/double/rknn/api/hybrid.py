"""The files between the steps of hybrid quantization, in the form that people's reports show."""

import json
import os
from typing import Any, Dict, List, NamedTuple

from ruamel.yaml import YAML

from .graph import Graph

FORMATS = ("asymmetric_affine-u8", "dynamic_fixed_point-i8", "dynamic_fixed_point-i16", "float32")
PROPOSED = {"Sigmoid": "dynamic_fixed_point-i16", "Softmax": "dynamic_fixed_point-i16"}
HEAD = """%YAML 1.2
---
# add layer name and corresponding quantized_dtype to customized_quantize_layers, e.g conv2_3: float32
"""
ENTRY = """    '@{layer}:out0':
        dtype: {quantizer}
        method: layer
        max_value:
        -   1.5
        min_value:
        -   -0.5
        zero_point:
        -   64
        scale:
        -   0.00784313725490196
        qtype: {kind}
"""


class Content(NamedTuple):
    """What a first step's files say."""

    graph: Graph
    chosen: Dict[str, str]
    """Layer -> format, where it is not the model's."""
    calls: List[Dict[str, Any]]
    """Of the first step's object."""


def write(graph: Graph, dtype: str, calls: List[Dict[str, Any]]) -> None:
    """Write {name}.json, .data and .quantization.cfg into the current directory."""
    with open(graph.name + ".json", "w") as stream:
        json.dump({"graph": graph._asdict(), "calls": calls}, stream)
    with open(graph.name + ".data", "w") as stream:
        stream.write("weights of the rkforge test double\n")
    proposals = [(layer, PROPOSED[op]) for layer, op in graph.layers if op in PROPOSED]
    quantizer, kind = dtype.split("-")
    with open(graph.name + ".quantization.cfg", "w") as stream:
        stream.write(HEAD + ("customized_quantize_layers:" + (" \n" if proposals else " {}\n")))
        stream.write("".join('    "%s": %s\n' % each for each in proposals) + "\nquantize_parameters:\n")
        for layer, _ in graph.layers:
            stream.write(ENTRY.format(layer=layer, quantizer=quantizer, kind=kind))


def read(model: str, data: str, cfg: str, dtype: str) -> Content:
    """What the three files say, checked."""
    with open(model) as stream:
        content = json.load(stream)
    os.stat(data)
    with open(cfg) as stream:
        settings = YAML(typ="safe").load(stream)
    chosen: Dict[str, str] = dict(settings["customized_quantize_layers"] or {})
    known = [key.lstrip("@").rpartition(":")[0] for key in settings["quantize_parameters"]]
    _refuse([layer for layer in chosen if layer not in known], "no such layer")
    _refuse([each for each in chosen.values() if each not in FORMATS], "no such dtype")
    if len({dtype, *chosen.values()}) > 2:
        raise ValueError("more than two quantization methods: %s" % sorted({dtype, *chosen.values()}))
    return Content(Graph(**content["graph"]), chosen, content["calls"])


def _refuse(wrong: List[str], reason: str) -> None:
    if wrong:
        raise ValueError("%s: %s" % (reason, ", ".join(wrong)))
