"""Reads a frozen TensorFlow graph: a GraphDef whose weights are constants in it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from host.sources.readers import graphdef
from host.sources.readers.damage import damaged
from host.sources.source import Interface
from shared.faults import Fault

TITLE = "a TensorFlow graph"


def read(files: Mapping[str, Path]) -> Interface:
    """What a frozen graph tells.

    Raises:
        Fault: model-invalid, or model-data-missing for a graph whose variables are not frozen.
    """
    path = files["model"]
    graph = graphdef.parse(path, "GraphDef", TITLE)
    if not graph.node or not all(node.name and node.op for node in graph.node):
        raise damaged(path, TITLE, "it has no nodes" if not graph.node else "nodes have no name")
    names = {node.name for node in graph.node}
    for node in graph.node:
        if node.op in graphdef.VARIABLES:
            raise Fault(
                "model-data-missing",
                f"{path} is not frozen: the values of {node.name!r} ({node.op}) are not in it.",
                "Freeze the graph, or give its SavedModel folder or its checkpoint (.meta, .index, .data).",
            )
        for name in node.input:
            if graphdef.node_of(name) not in names:
                raise damaged(path, TITLE, f"node {node.name!r} takes {name!r}, which is not there")
    version = f"producer {graph.versions.producer}" if graph.versions.producer else ""
    return replace(graphdef.interface(graph, version), parsed=graph)
