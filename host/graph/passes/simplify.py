"""Folds what is constant and drops what is idle, with onnxslim.

rknn-toolkit2 folds constants itself (the rows of its table are the same either way), so this is for chips and
toolkits on which nothing is left to chance: it takes longer than all else that is done to a graph.
"""

from onnx import ModelProto
from onnxslim import slim

from host.graph.recipe import Graph, Request
from shared.faults import Fault

# the toolkits fuse operators in their own ways
_LEFT_TO_THE_TOOLKIT = ["graph_fusion"]


def simplify(graph: Graph, _request: Request) -> tuple[Graph, str] | None:
    """Simplify the graph; outputs and values stay as they are.

    Raises:
        Fault: model-invalid when onnxslim fails; it raises whatever stopped it.
    """
    before = len(graph.proto.graph.node)
    copy = ModelProto()
    copy.CopyFrom(graph.proto)
    try:
        slimmed = slim(copy, skip_optimizations=_LEFT_TO_THE_TOOLKIT)
    except Exception as error:
        cause = " ".join(str(error).split())[:300]
        raise Fault("model-invalid", f"onnxslim cannot simplify the model: {cause}.") from error
    after = len(slimmed.graph.node)
    if after == before:
        return None
    return Graph(slimmed, graph.decode), f"simplified from {before} to {after} nodes"
