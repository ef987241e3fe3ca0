"""The models that jobs convert: the source, prepared once for every kind of chip and dtype in a request."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.graph.prepare import prepare
from host.graph.recipe import Prepared
from host.graph.rows import too_long
from host.graph.spelling import spell_out
from host.plan import Preparation
from host.sources.onnx_model import OnnxSource
from host.sources.operators import refuse_operators
from shared.chips import Toolkit

FILE = "model.onnx"


@dataclass(frozen=True)
class Model:
    """A prepared model in a file of its own."""

    prepared: Prepared
    folder: Path
    """Holds FILE and nothing else."""
    sha256: str
    warnings: tuple[str, ...]
    """What the result will suffer from, known before it is built."""

    @property
    def file(self) -> Path:
        """The model."""
        return self.folder / FILE

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed, a line each."""
        return tuple(change.what for change in self.prepared.changes)

    def to_json(self) -> dict[str, Any]:
        """The facts for the record."""
        decode = self.prepared.decode
        return {
            "head": decode.layout,
            "family": decode.family,
            "task": decode.task,
            "changes": [asdict(change) for change in self.prepared.changes],
            "outputs": [{"name": each.name, "shape": list(each.shape)} for each in decode.outputs],
            "warnings": list(self.warnings),
            "sha256": self.sha256,
        }


def make(source: OnnxSource, wanted: Preparation, toolkit: Toolkit, folder: Path) -> Model:
    """Prepare the source's graph and write it to `folder`, which is made.

    Raises:
        Fault: model-op when the toolkit cannot convert what is left; those of `prepare`.
    """
    prepared = prepare(source.proto, wanted.head, wanted.activation_bits, wanted.quirks)
    refuse_operators(prepared.proto, toolkit, wanted.quantize)
    spell_out(prepared.proto)
    data = prepared.proto.SerializeToString(deterministic=True)
    folder.mkdir()
    (folder / FILE).write_bytes(data)
    return Model(
        prepared=prepared,
        folder=folder,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=(*_mixed(prepared), *too_long(prepared.proto, wanted.longest_row)),
    )


def _mixed(prepared: Prepared) -> tuple[str, ...]:
    """What 8 bits will do to outputs that mix ranges, and the cure."""
    cure = (
        "--head auto gives them outputs of their own"
        if prepared.decode.family != "unknown"
        else "rkforge does not know this head: give these values an output of their own, or use --dtype fp16"
    )
    told = {(each.narrow, each.whole_range): each for each in reversed(prepared.mixed)}  # once for all copies
    return tuple(f"{each}: they will be rounded away; {cure}" for each in told.values())
