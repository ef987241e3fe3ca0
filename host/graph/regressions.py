"""Which of a toolkit's rules a graph would crash: the table names them, a check here says for which graphs.

A rule that does good elsewhere is left out only where it would crash. What no check foresees, the harness
leaves out after the crash, as the toolkit advises.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared.chips import Regression

if TYPE_CHECKING:  # what ends before a model is read imports this too
    from onnx import ModelProto

OPTION = "disable_rules"
"""Of the toolkit's `config`: the names of rules to leave out."""
ASKED_FOR = "asked for with --set"


def _unscaled_attention(proto: "ModelProto") -> bool:
    """MatMul, Softmax, Transpose, MatMul in a row, with no scale or mask between, as in v @ softmax(qk).T."""
    makers = {name: node for node in proto.graph.node for name in node.output}

    def row(name: str, op: str, *before: str) -> bool:
        node = makers.get(name)
        if node is None or node.op_type != op:
            return False
        return not before or any(row(source, *before) for source in node.input)

    return any(
        row(name, "Transpose", "Softmax", "MatMul")
        for node in proto.graph.node
        if node.op_type == "MatMul"
        for name in node.input
    )


ALWAYS = "always"
CHECKS: dict[str, Callable[["ModelProto"], bool]] = {"unscaled-attention": _unscaled_attention}


def without(
    config: Mapping[str, Any], proto: "ModelProto | None", known: Mapping[str, Regression]
) -> dict[str, Any]:
    """The toolkit's options with those of the known regressions left out that this graph would run into.

    Of a model whose graph is not known, those that every graph runs into. Rules that the user leaves out are
    left out too; an empty list of theirs leaves all in.
    """
    own = config.get(OPTION)
    rules = [
        rule
        for rule, each in known.items()
        if each.when == ALWAYS or (proto is not None and CHECKS[each.when](proto))
    ]
    if own == [] or not rules:
        return dict(config)
    return {**config, OPTION: list(dict.fromkeys([*rules, *(own or ())]))}


def reasons(config: Mapping[str, Any], known: Mapping[str, Regression]) -> dict[str, str]:
    """Rule -> why, for all that `config` leaves out."""
    return {rule: known[rule].why if rule in known else ASKED_FOR for rule in config.get(OPTION) or ()}
