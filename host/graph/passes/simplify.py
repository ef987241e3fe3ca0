"""Folds what is constant and drops what is idle, with onnxslim.

rknn-toolkit2 folds constants itself (the rows of its table are the same either way), so this is for chips and
toolkits on which nothing is left to chance.
"""

from onnx import ModelProto
from onnxslim import slim

from host.graph.request import Graph, Request
from host.sources.onnx.inference import note_shapes
from shared.faults import Fault
from shared.text import one_line

# toolkits fuse operators in their own ways; the other two find nothing in exports, for half of the time
_LEFT_OUT = ["graph_fusion", "subexpression_elimination", "weight_tying"]


def simplify(graph: Graph, _request: Request) -> tuple[Graph, str] | None:
    """Simplify the graph; outputs and values stay as they are.

    Raises:
        Fault: model-invalid when onnxslim fails; it raises whatever stopped it.
    """
    before = len(graph.proto.graph.node)
    try:
        # onnx's inference is quicker than onnxslim's
        shaped = ModelProto()
        shaped.CopyFrom(graph.proto)
        note_shapes(shaped)
        slimmed = slim(shaped, skip_optimizations=_LEFT_OUT, no_shape_infer=True)
    except Exception as error:
        cause = one_line(error)
        raise Fault("model-invalid", f"onnxslim cannot simplify the model: {cause}.") from error
    after = len(slimmed.graph.node)
    if after == before:
        return None
    return Graph(slimmed, graph.decode), f"simplified from {before} to {after} nodes"
