"""From a format's own files to what a toolkit's loader for that format can be trusted with.

What rkforge does with a graph it cannot do here: the loader reads the user's files. So what the loader would
meet with a crash, random weights or a layer left out is refused before, by name, and every size is settled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from host.sources.native import caffe as caffe_net
from host.sources.native import frozen_graph
from host.sources.native.excerpt import Excerpt
from host.sources.native.sizes import settle
from host.sources.readers import READERS
from host.sources.source import Interface, Port, Source, TensorSpec
from shared import chips
from shared.chips import Toolkit
from shared.contract import Source as JobSource
from shared.faults import Fault

_INPUTS, _OUTPUTS, _SIZES = "--inputs", "--outputs", "--input-sizes"
_CHANGEABLE: Mapping[str, tuple[str, ...]] = {
    "caffe": (_INPUTS, _OUTPUTS, _SIZES),
    "tensorflow": (_INPUTS, _OUTPUTS, _SIZES),
    "torchscript": (_SIZES,),
    "mxnet": (_SIZES,),
}
"""Format -> what its loaders take from the user besides the files; the others take nothing."""
_UNNAMED = ("torchscript", "darknet")
"""Formats whose outputs have no names of their own."""


@dataclass(frozen=True)
class NativeSource:
    """A model in its own format, checked, ready to stage."""

    source: Source
    version: str
    """Of the format; empty where it has none."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[Port, ...]
    """Their shapes are empty where the file does not tell."""
    quantized: bool
    """Whether its framework quantized it: the toolkit must not do so again."""
    notes: tuple[str, ...]
    """What was settled or changed, a phrase each."""


def load(
    source: Source,
    toolkit: Toolkit,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    sizes: tuple[tuple[int, ...], ...],
    size: tuple[int, int] | None,
    folder: Path,
) -> NativeSource:
    """Read and check a model, and settle what its loader will be told.

    Args:
        source: the model's files, on disk.
        toolkit: whose loader will read them.
        inputs: where the graph shall begin; empty for the file's own inputs.
        outputs: where it shall end; empty for the file's own.
        sizes: shapes of the inputs, batch included, in the format's order of axes; empty for the file's own.
        size: width and height for an image input that leaves them open.
        folder: for files that are rewritten; made if there are any.

    Raises:
        Fault: bad-option, or any of the model-* codes.
    """
    interface = READERS[source.format](source.files)
    changeable = _CHANGEABLE.get(source.format, ())
    for flag, given in ((_INPUTS, inputs), (_OUTPUTS, outputs), (_SIZES, sizes)):
        if given and flag not in changeable:
            title = chips.formats()[source.format].title
            raise Fault(
                "bad-option",
                f"{flag}: the toolkit's loader of {title} takes the file as it is",
                f"Leave {flag} out, or turn the model into ONNX with `invoke export`, and convert that.",
            )
    find = _EXCERPTS.get(source.format)
    part = find(source.files, interface, inputs, outputs) if find else _whole(interface)
    _refuse_operators(source.format, part, interface.custom, toolkit)
    specs, notes = settle(part.inputs, sizes, size, _SIZES in changeable)
    files = part.rewrite(specs, folder) if part.rewrite else source.files
    return NativeSource(
        source=replace(source, files=files),
        version=interface.version,
        inputs=specs,
        outputs=part.outputs,
        quantized=interface.quantized,
        notes=(*part.notes, *notes),
    )


def contract(native: NativeSource, places: Mapping[str, str]) -> JobSource:
    """The model as a job names it.

    Args:
        native: the model.
        places: role -> path of its file in the job's folder.
    """
    return JobSource(
        format=native.source.format,
        files=dict(places),
        inputs=[each.name for each in native.inputs],
        shapes=[list(each.shape) for each in native.inputs],
        outputs=[] if native.source.format in _UNNAMED else [each.name for each in native.outputs],
    )


def _whole(interface: Interface) -> Excerpt:
    return Excerpt(interface.inputs, interface.outputs, interface.operators, {})


_Find = Callable[[Mapping[str, Path], Interface, Sequence[str], Sequence[str]], Excerpt]
_EXCERPTS: Mapping[str, _Find] = {
    "caffe": caffe_net.excerpt,
    "tensorflow": frozen_graph.excerpt,
}
"""Format -> what finds the part between inputs and outputs, where a loader can be told of it."""


def _refuse_operators(name: str, part: Excerpt, custom: Sequence[str], toolkit: Toolkit) -> None:
    """Refuse what the toolkit's loader crashes on, leaves out without a word, or cannot know.

    Raises:
        Fault: model-op.
    """
    loader = toolkit.loaders.get(name, chips.Loader())
    refused = chips.reasons(loader.refused)
    for operator in part.operators:
        if operator in custom:
            reason = "it is custom, and the toolkit does not have it"
        elif operator in refused:
            reason = refused[operator]
        elif loader.known and operator not in loader.known:
            reason = "the toolkit does not have it"
        else:
            continue
        place = f" at {part.places[operator]!r}" if operator in part.places else ""
        raise Fault("model-op", f"Operator {operator}{place}: {reason}.", part.cure)
