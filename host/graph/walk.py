"""Finds where a detector's body ends: the convolutions whose values are only moved and decoded after them."""

from collections.abc import Sequence
from math import prod

from onnx import NodeProto

from host.sources.view import View

# what a body is made of: walking back from an output ends here
_BODY = {
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool"),
    *("InstanceNormalization", "LayerNormalization", "MatMul", "MaxPool", "Resize", "Upsample"),
}

_LAST = ("BatchNormalization", "Conv")

_MOVES = ("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def ends(view: View, outputs: Sequence[str]) -> tuple[str, ...]:
    """The tensors that the last convolutions on every way to the outputs make, in the order of the nodes.

    Empty when a way ends at something else that learns: such a head is not made of convolutions.
    """
    found: dict[str, NodeProto] = {}
    seen: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        node = view.makers.get(name)
        if name in seen or node is None or name in view.constants:
            continue
        seen.add(name)
        if node.op_type in _BODY and not _expects(view, node):
            found[_scaled(view, name)] = node
        else:
            waiting.extend(node.input)
    order = {name: number for number, node in enumerate(view.nodes) for name in node.output}
    if any(node.op_type not in _LAST for node in found.values()):
        return ()
    return tuple(sorted(found, key=order.__getitem__))


def _expects(view: View, node: NodeProto) -> bool:
    """Whether this is the expectation over a softmax, which exporters write as a convolution or a product."""
    maker = view.makers.get(node.input[0])
    while maker is not None and maker.op_type in _MOVES:
        maker = view.makers.get(maker.input[0])
    return maker is not None and maker.op_type == "Softmax"


def _scaled(view: View, name: str) -> str:
    """The tensor after the learned constants that some heads multiply with or add to a branch."""
    while len(view.users.get(name, ())) == 1 and name not in view.outputs:
        user = view.users[name][0]
        factors = [view.shapes[one] for one in user.input if one in view.constants]
        if user.op_type not in ("Add", "Mul") or not factors or prod(factors[0]) > view.size(name, 1):
            break
        name = user.output[0]
    return name
