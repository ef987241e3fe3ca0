"""Finds where a detector's body ends: the convolutions whose values are only moved and decoded after them."""

from collections.abc import Sequence
from math import prod

from onnx import NodeProto

from host.sources.onnx.view import View

# what a body is made of: walking back from an output ends here
_BODY = {
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool"),
    *("InstanceNormalization", "LayerNormalization", "MatMul", "MaxPool", "NonMaxSuppression", "Resize"),
    "Upsample",
}

# what may make the last learned values: products are how open-vocabulary heads compare with the text's
_LAST = ("BatchNormalization", "Conv", "MatMul")

_MOVES = ("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def ends(view: View, outputs: Sequence[str]) -> tuple[str, ...]:
    """The last learned tensors of four dimensions on every way to the outputs, in the order of the nodes.

    Empty when a way ends at something else that learns: such a head is no grid over the image.
    """
    found: dict[str, NodeProto] = {}
    seen: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        node = view.makers.get(name)
        if name in seen or node is None or name in view.constants or node.op_type == "Shape":
            continue
        seen.add(name)
        if node.op_type in _BODY and not _expects(view, node):
            found[_scaled(view, name)] = node
        else:
            waiting.extend(node.input)
    order = {name: number for number, node in enumerate(view.nodes) for name in node.output}
    if any(node.op_type not in _LAST or len(view.shapes.get(name, ())) != 4 for name, node in found.items()):
        return ()
    return tuple(sorted(found, key=order.__getitem__))


def _expects(view: View, node: NodeProto) -> bool:
    """Whether this is the expectation over a softmax, which exporters write as a convolution or a product."""
    maker = view.makers.get(node.input[0])
    while maker is not None and maker.op_type in _MOVES:
        maker = view.makers.get(maker.input[0])
    return maker is not None and maker.op_type == "Softmax"


def _scaled(view: View, name: str) -> str:
    """The tensor after what some heads still do to a branch: give it its grid back, scale it and shift it."""
    users = view.users.get(name, [])
    if len(users) != 1 or name in view.outputs:
        return name
    (user,) = users
    if len(view.shapes.get(name, ())) != 4:
        onwards = user.op_type == "Reshape"
    else:
        others = [prod(view.shapes.get(each, (0,))) for each in user.input if each != name]
        onwards = user.op_type in ("Add", "Mul") and others != [] and 0 < others[0] <= view.size(name, 1)
    return _scaled(view, user.output[0]) if onwards else name
