"""What an exporter is told of a model's inputs and outputs, where the format leaves that to be told."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from host.sources.native import frozen_graph
from host.sources.native.sizes import settle
from host.sources.readers import READERS
from host.sources.source import Port, Source
from shared import chips
from shared.contract import Source as JobSource
from shared.faults import Fault

_Named = tuple[Sequence[Port], Sequence[str]]
"""Inputs, and names of outputs."""


def named(
    source: Source,
    inputs: Sequence[str],
    outputs: Sequence[str],
    sizes: Sequence[tuple[int, ...]],
    size: tuple[int, int] | None,
) -> JobSource:
    """The model as an exporter's job names it, without its files.

    Graphs of TensorFlow have no inputs and outputs of their own, and TorchScript has no shapes: there the
    file's reader or the user tells. All else the exporter finds in the file.

    Args:
        source: the model's files, on disk.
        inputs: where a graph shall begin; empty for its placeholders.
        outputs: where it shall end; empty for what nobody takes.
        sizes: shapes of the inputs, batch included, in the format's order of axes; empty for the file's own.
        size: width and height for an image input that leaves them open.

    Raises:
        Fault: bad-option, model-shape, and those of the readers.
    """
    find = _FINDERS.get(source.format)
    if (inputs or outputs) and source.format not in _GRAPHS:
        raise Fault(
            "bad-option",
            f"--inputs, --outputs: the exporter takes {chips.formats()[source.format].title} as it is",
            "Leave them out here; `invoke convert` takes them for the ONNX file.",
        )
    if find is None:
        return JobSource(source.format, {}, [], [list(shape) for shape in sizes], [])
    ports, ends = find(source.files, inputs, outputs)
    specs, _notes = settle(ports, sizes, size, True)
    return JobSource(
        source.format, {}, [spec.name for spec in specs], [list(spec.shape) for spec in specs], list(ends)
    )


def _frozen(files: Mapping[str, Path], inputs: Sequence[str], outputs: Sequence[str]) -> _Named:
    part = frozen_graph.excerpt(files, READERS["tensorflow"](files), inputs, outputs)
    return part.inputs, [port.name for port in part.outputs]


def _checkpoint(files: Mapping[str, Path], inputs: Sequence[str], outputs: Sequence[str]) -> _Named:
    interface = READERS["tf-checkpoint"](files)
    known = {port.name: port for port in interface.inputs}
    starts = [known.get(name, Port(name, (), "float32", channels_last=True)) for name in inputs]
    return starts or interface.inputs, list(outputs) or [port.name for port in interface.outputs]


def _traced(files: Mapping[str, Path], _inputs: Sequence[str], _outputs: Sequence[str]) -> _Named:
    return READERS["torchscript"](files).inputs, []


_FINDERS: Mapping[str, Callable[[Mapping[str, Path], Sequence[str], Sequence[str]], _Named]] = {
    "tensorflow": _frozen,
    "tf-checkpoint": _checkpoint,
    "torchscript": _traced,
}
_GRAPHS = ("tensorflow", "tf-checkpoint")
