"""Gives the head the outputs that were asked for, or that keep its accuracy."""

from host.decoding.contract import Decode
from host.graph.cut import to_branches, to_decoded
from host.graph.families import FAMILIES
from host.graph.layouts import CUTS, chosen
from host.graph.request import Graph, Request
from shared.faults import Fault


def head_layout(graph: Graph, request: Request) -> tuple[Graph, str] | None:
    """Cut the head, or build its decoding anew.

    Raises:
        Fault: head-unknown when the layout that is asked for cannot be made from this head.
    """
    branches = graph.head.branches if graph.head else None
    layout = request.head
    if layout == "auto":
        layout = chosen(graph.decode, request.activation_bits) if branches else "raw"
    if layout in ("raw", graph.decode.layout):
        return None
    kind = (graph.decode.family, graph.decode.task)
    if branches is None or (kind not in CUTS[layout] if layout in CUTS else not branches.known):
        raise _not_from(graph.decode, layout)
    if layout in CUTS:
        proto, decode = to_branches(graph.proto, branches, layout, CUTS[layout][kind])
    else:
        proto, decode = to_decoded(graph.proto, branches, layout)
    head = f"{decode.task} head of {FAMILIES[decode.family].text}"
    return Graph(proto, decode), f"{head}: {len(decode.outputs)} outputs as {layout}"


def _not_from(own: Decode, layout: str) -> Fault:
    if own.family not in FAMILIES:
        return Fault("head-unknown", f"--head {layout} needs a detector's head that rkforge knows.")
    what = f"this {own.family} {own.task} head with {len(own.outputs)} outputs"
    return Fault("head-unknown", f"--head {layout} cannot be made from {what}.")
