"""Which of a graph's operators a compiler made its own of: names begin with that of a node or a tensor."""

import re
from collections.abc import Iterable

from onnx import ModelProto, defs

from shared.contract import Operator

_MOVES = ("Reshape", "Transpose")


def origins(proto: ModelProto, made: Iterable[Operator]) -> dict[str, str]:
    """The names of operators that the graph has not, by their kind -> the kind of what they were made of.

    Kinds that ONNX does not have are left out: their names tell what they are. So are those that only move
    values: compilers put them anywhere.
    """
    kinds = {name: node.op_type for node in proto.graph.node for name in (*node.output, node.name) if name}
    found = {}
    for each in made:
        starts = [
            name for name in kinds if each.name.startswith(name) and not _goes_on(each.name[len(name) :])
        ]
        kind = kinds[max(starts, key=len)] if starts else each.op
        if kind != each.op and each.op not in _MOVES and defs.has(each.op):
            found[each.name] = kind
    return found


def _goes_on(rest: str) -> bool:
    """Whether a name continues with what may be part of another one."""
    return re.match(r"[A-Za-z0-9]", rest) is not None
