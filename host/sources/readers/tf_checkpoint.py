"""Reads a TensorFlow checkpoint: the graph in .meta, its values in .index and .data."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from host.sources.readers import graphdef
from host.sources.readers.damage import damaged
from host.sources.recognition.contents import INDEX_END
from host.sources.source import Interface

TITLE = "a TensorFlow checkpoint"


def read(files: Mapping[str, Path]) -> Interface:
    """What a checkpoint's graph tells. Raises Fault model-invalid."""
    meta = graphdef.parse(files["meta"], "MetaGraphDef", TITLE)
    if not meta.graph_def.node:
        raise damaged(files["meta"], TITLE, "it has no graph")
    index = files["index"].read_bytes()
    if not index.endswith(INDEX_END):
        raise damaged(files["index"], "the index of a TensorFlow checkpoint")
    version = meta.meta_info_def.tensorflow_version
    told = graphdef.interface(meta.graph_def, f"TensorFlow {version}" if version else "")
    return replace(told, parameters=None)
