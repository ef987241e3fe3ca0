"""What lies between a graph's inputs and its outputs. What does not, toolkits drop or stumble over."""

from collections.abc import Collection

from onnx import ModelProto

from host.sources.onnx.interface import graph_inputs
from host.sources.onnx.view import reads
from shared.faults import Fault


def drop_unused(proto: ModelProto, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Remove what no output needs, in place: nodes, weights and inputs; returns the inputs' names.

    Args:
        proto: the model.
        keep: inputs that stay although no output needs them.
    """
    graph = proto.graph
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(reads(node))
    wanted.update(keep)
    unused = tuple(value.name for value in graph_inputs(proto) if value.name not in wanted)
    for field, content in (
        (graph.node, kept[::-1]),
        *(
            (named, [each for each in named if each.name in wanted])
            for named in (graph.initializer, graph.value_info, graph.input)
        ),
    ):
        if len(content) < len(field):
            copies = [type(each).FromString(each.SerializeToString()) for each in content]
            del field[:]
            field.extend(copies)
    return unused


def refuse_outputs(proto: ModelProto) -> None:
    """Refuse outputs that are an input, a constant, or another output by a second name.

    rknn-toolkit2 2.5.0 leaves the first two out without a word, and fails on the last with a KeyError.

    Raises:
        Fault: model-op.
    """
    inputs = {value.name for value in graph_inputs(proto)}
    computed = set(inputs)
    origin: dict[str, str] = {}
    for node in proto.graph.node:
        if not computed.isdisjoint(reads(node)):
            computed.update(filter(None, node.output))
        if node.op_type == "Identity":
            origin[node.output[0]] = origin.get(node.input[0], node.input[0])
    kept: dict[str, str] = {}
    faults = []
    for name in (value.name for value in proto.graph.output):
        tensor = origin.get(name, name)
        if name in inputs:
            faults.append(f"output {name!r} is the input itself")
        elif name not in computed:
            faults.append(f"output {name!r} is a constant, whatever the inputs hold")
        elif tensor in kept:
            faults.append(f"output {name!r} is the same tensor as {kept[tensor]!r}")
        else:
            kept[tensor] = name
    if faults:
        hint = f"Leave it out: --outputs {','.join(kept.values())}." if kept else "Export the model again."
        raise Fault("model-op", f"The toolkit cannot give every output: {'; '.join(faults)}.", hint)


def glued(proto: ModelProto) -> dict[str, list[str]]:
    """Outputs that tensors are put together in, whatever their form since -> the names of these tensors."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    found = {}
    for output in (value.name for value in proto.graph.output):
        node = makers.get(output)
        while node is not None and node.op_type in _FORMS:
            node = makers.get(node.input[0])
        if node is not None and node.op_type == "Concat":
            parts = [makers.get(name) for name in node.input]
            if all(part is not None and part.op_type != "Constant" for part in parts):
                found[output] = list(node.input)
    return found


_FORMS = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
