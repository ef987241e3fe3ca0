"""The models that jobs convert: the source, prepared once for every kind of chip and dtype in a request."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from host.decoding.contract import Decode
from host.graph.prepare import prepare
from host.graph.request import Change, Prepared
from host.graph.rows import too_long
from host.graph.spelling import spell_out
from host.plan import Preparation
from host.sources.fingerprint import fingerprint
from host.sources.native import model as native
from host.sources.native.model import NativeSource
from host.sources.onnx.model import OnnxSource
from host.sources.onnx.operators import refuse_operators
from host.sources.onnx.reach import glued, refuse_outputs
from host.sources.source import Source
from shared import contract
from shared.chips import ONNX, Toolkit, formats
from shared.faults import Fault

IN = "in"
"""The folder of a job that has the model's files and the staged inputs."""
FILE = "model.onnx"
NAMES = {
    "prototxt": "model.prototxt",
    "caffemodel": "model.caffemodel",
    "cfg": "model.cfg",
    "weights": "model.weights",
    "symbol": "model-symbol.json",
    "params": "model-0000.params",
}
"""Role -> file name, as the toolkits' loaders expect it."""
SUFFIXES = {"tflite": ".tflite", "torchscript": ".pt", "tensorflow": ".pb", "keras": ".h5"}
"""Format -> extension of a single file."""
AS_IT_IS = ("auto", "raw")
UNKNOWN = Decode("unknown", "unknown", "raw", ())


@dataclass(frozen=True)
class Model:
    """A model in files of its own, ready for the toolkit."""

    source: contract.Source
    """As a job names it: paths in IN."""
    prepared: Prepared | None
    """The graph; None for what the toolkit's own loader reads, which rkforge leaves as it is."""
    folder: Path
    """Holds the model's files and nothing else."""
    sha256: str
    warnings: tuple[str, ...]
    """What the result will suffer from, known before it is built."""
    glued: Mapping[str, list[str]]
    """Outputs of the source that are put together of other tensors -> the names of these."""

    @property
    def file(self) -> Path:
        """The file of the prepared graph."""
        return self.folder / FILE

    @property
    def graph(self) -> ModelProto | None:
        """The prepared graph, if rkforge reads the model."""
        return self.prepared.proto if self.prepared else None

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was changed."""
        return self.prepared.changes if self.prepared else ()

    @property
    def decode(self) -> Decode:
        """What the outputs mean; nothing is known of a model that rkforge does not read."""
        return self.prepared.decode if self.prepared else UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """The facts for the record."""
        decode = self.decode
        return {
            "head": decode.layout,
            "family": decode.family,
            "task": decode.task,
            "changes": [asdict(change) for change in self.changes],
            "outputs": [{"name": each.name, "shape": list(each.shape)} for each in decode.outputs],
            "glued": dict(self.glued),
            "warnings": list(self.warnings),
            "sha256": self.sha256,
        }


def make(source: OnnxSource | NativeSource, wanted: Preparation, toolkit: Toolkit, folder: Path) -> Model:
    """Prepare the source's graph and write it to `folder`, which is made.

    Raises:
        Fault: model-op when the toolkit cannot convert what is left; head-unknown when a head is to be cut
            in a model that rkforge does not read; those of `prepare`.
    """
    folder.mkdir()
    if isinstance(source, NativeSource):
        return _untouched(source, wanted, folder)
    prepared = prepare(source.proto, wanted.head, wanted.activation_bits, wanted.quirks)
    refuse_operators(prepared.proto, toolkit, wanted.quantize)
    refuse_outputs(prepared.proto)
    spell_out(prepared.proto)
    data = prepared.proto.SerializeToString(deterministic=True)
    (folder / FILE).write_bytes(data)
    return Model(
        source=contract.Source(ONNX, {"model": f"{IN}/{FILE}"}, [], [], []),
        prepared=prepared,
        folder=folder,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=(*_mixed(prepared), *too_long(prepared.proto, wanted.longest_row)),
        glued=glued(source.proto),
    )


def _untouched(source: NativeSource, wanted: Preparation, folder: Path) -> Model:
    title = formats()[source.source.format].title
    if wanted.head not in AS_IT_IS:
        raise Fault(
            "head-unknown",
            f"--head {wanted.head}: the toolkit's own loader reads {title}, and rkforge cannot cut its graph",
            "Turn the model into ONNX with `invoke export`, and convert that.",
        )
    placed = {}
    for role, path in source.source.files.items():
        placed[role] = folder / (NAMES.get(role) or f"model{SUFFIXES[source.source.format]}")
        shutil.copyfile(path, placed[role])  # no link: what runs in the job must not reach the user's file
    named = native.contract(source, {role: f"{IN}/{path.name}" for role, path in placed.items()})
    return Model(named, None, folder, fingerprint(Source(source.source.format, placed)), (), {})


def _mixed(prepared: Prepared) -> tuple[str, ...]:
    """What 8 bits will do to outputs that mix ranges, and the cure."""
    cure = (
        "--head auto gives them outputs of their own"
        if prepared.decode.family != "unknown"
        else "rkforge does not know this head: give these values outputs of their own (--outputs), or use a "
        "dtype of more than 8 bits where the chip has one"
    )
    told = {(each.narrow, each.whole_range): each for each in reversed(prepared.mixed)}  # once for all copies
    return tuple(f"{each}: they will be rounded away; {cure}" for each in told.values())
