"""Prepares a graph for an NPU: runs the passes, and proves that what it computes has stayed the same."""

from collections.abc import Collection

import numpy as np
from onnx import ModelProto

from host.decoding.contract import Decode, Output
from host.graph.head import Trial, recognise, try_out, with_outputs
from host.graph.passes.head_layout import head_layout
from host.graph.passes.one_transpose_dfl import one_transpose_dfl
from host.graph.passes.outputs_4d import outputs_4d
from host.graph.passes.simplify import simplify
from host.graph.proof import same
from host.graph.ranges import Mixed, mixed, shared
from host.graph.request import Change, Graph, Pass, Prepared, Request
from host.sources.onnx.trial import TrialError, run
from shared.faults import Fault

PASSES: dict[str, Pass] = {
    "head": head_layout,
    "simplify": simplify,
    "one-transpose-dfl": one_transpose_dfl,
    "outputs-4d": outputs_4d,
}
"""In the order in which they run; which ones a chip needs is data in the table, its `quirks`."""
_ALWAYS = ("head",)


def prepare(
    proto: ModelProto, head: str = "auto", activation_bits: int | None = 8, quirks: Collection[str] = ()
) -> Prepared:
    """Give a model the head layout that is asked for, and run the passes that its chip needs.

    Args:
        proto: the model, inputs static; it is left as it is.
        head: one of `host.graph.layouts.HEADS`.
        activation_bits: 8 or 16 when activations are integers, None when they are floats.
        quirks: names of further passes.

    Raises:
        Fault: head-unknown when a layout is asked for that this head does not have; graph-changed when the
            prepared graph does not compute the same; model-invalid when the model does not run.
    """
    request = Request(head, activation_bits, quirks)
    try:
        trial = try_out(proto)
        found = recognise(trial)
        own = found.own if found else _unknown(trial)
        graph = Graph(proto, own, found)
        changes = []
        for name, step in PASSES.items():
            done = step(graph, request) if name in (*_ALWAYS, *quirks) else None
            if done:
                graph, what = done
                changes.append(Change(name, what))
        flagged = _check(graph, own, trial)
    except TrialError as error:
        raise Fault("model-invalid", f"The model does not run in ONNX Runtime: {error}") from error
    flagged = flagged if activation_bits == 8 else ()
    return Prepared(graph.proto, graph.decode, own, tuple(changes), flagged)


def _unknown(trial: Trial) -> Decode:
    outputs = tuple(Output(name, array.shape) for name, array in trial.outputs.items())
    return Decode("unknown", "unknown", "raw", outputs)


def _check(graph: Graph, own: Decode, trial: Trial) -> tuple[Mixed, ...]:
    """Run the prepared graph on the source's input and compare; returns what mixes ranges.

    Raises:
        Fault: graph-changed.
    """
    names = [value.name for value in graph.proto.graph.output]
    looked_at = shared(graph.proto)
    inner = [name for name in looked_at if name not in names]
    arrays = dict(zip([*names, *inner], run(with_outputs(graph.proto, inner), trial.inputs), strict=True))
    outputs = {name: arrays[name] for name in names}
    if graph.decode.layout == own.layout:
        pairs = zip(trial.outputs.values(), outputs.values(), strict=True)
        kept = all(np.allclose(a.ravel(), b.ravel(), 1e-3, 1e-4, equal_nan=True) for a, b in pairs)
    else:
        kept = same(own, trial.outputs, graph.decode, arrays)
    if not kept:
        raise Fault("graph-changed", "The prepared graph does not compute what the model computes.")
    # where an output mixes ranges, the Concats before it say nothing new
    return mixed(outputs, looked_at) or mixed({name: arrays[name] for name in inner}, looked_at)
