"""Reads a TorchScript archive without PyTorch: its code is text, its pickles are walked through, not loaded.

The signature of `forward` tells the inputs. How large they are is only in files whose tracer kept the shapes
of its example, as those of PyTorch 2 do.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from host.sources.readers import pickled
from host.sources.readers.damage import damaged
from host.sources.readers.pickled import Tensor
from host.sources.recognition.entries import DAMAGE
from host.sources.source import Interface, Port
from shared import pickles
from shared.faults import Fault

TITLE = "TorchScript"
_TEXT = 64 << 20
"""Bytes of code and pickles; a model of hundreds of layers has less than one million."""
_CLASS = re.compile(r"^class (\w+)\(\w*\):$", re.MULTILINE)
_FORWARD = re.compile(r"^  def forward\(\w+: __torch__[^,)]*,?([^)]*)\)\s*->\s*([^:\n]+):$", re.MULTILINE)
_CALL = re.compile(r"\b(?:torch\.(\w+)|ops\.(\w+\.\w+))\(")
_BRANCH = re.compile(r"^\s+(?:if|for|while)\b", re.MULTILINE)
_NO_OPERATORS = ("annotate", "device", "list", "unchecked_cast", "tensor")
CONTROL_FLOW = "control flow"
"""What `torch.jit.script` leaves of ifs and loops, listed among the operators; a traced model has none."""
_BUILT_IN = ("prim.", "aten.")
_OWN = "__torch__."
"""Begins the names of the classes that an archive defines."""
_EXAMPLE = "traced_inputs.pkl"


@dataclass(frozen=True)
class _Archive:
    code: Mapping[str, str]
    """Module, as in the names of its classes -> its text."""
    pickles: Mapping[str, bytes]
    version: str


def read(files: Mapping[str, Path]) -> Interface:
    """What a TorchScript archive tells; the shapes of inputs are empty where it does not have them.

    Raises:
        Fault: model-invalid, or model-op for inputs that are no tensors.
    """
    path = files["model"]
    archive = _open(path)
    arguments, result = _signature(path, archive)
    operators = Counter(call for text in archive.code.values() for call in _CALL.findall(text))
    branches = sum(len(_BRANCH.findall(text)) for text in archive.code.values())
    weights = {
        (name, tensor.storage): tensor.size
        for name in ("data.pkl", "constants.pkl")
        for tensor in _tensors(path, archive.pickles[name])
        if "float" in tensor.dtype
    }
    return Interface(
        version=f"file format {archive.version}",
        inputs=_inputs(path, arguments, _tensors(path, archive.pickles.get(_EXAMPLE, b""))),
        outputs=tuple(Port(f"output_{number}", (), "float32") for number in range(result.count("Tensor"))),
        operators={
            plain or custom: count
            for (plain, custom), count in operators.items()
            if plain not in _NO_OPERATORS
        }
        | ({CONTROL_FLOW: branches} if branches else {}),
        parameters=sum(weights.values()),
        custom=tuple(
            sorted(custom for _, custom in operators if custom and not custom.startswith(_BUILT_IN))
        ),
    )


def _open(path: Path) -> _Archive:
    try:
        with zipfile.ZipFile(path) as file:
            members = {info.filename.partition("/")[2]: info for info in file.infolist()}
            for name in ("constants.pkl", "data.pkl"):
                if name not in members:
                    raise damaged(path, TITLE, f"it has no {name}")
            code = [name for name in members if name.startswith("code/") and name.endswith(".py")]
            pickles = [name for name in ("data.pkl", "constants.pkl", _EXAMPLE) if name in members]
            if sum(members[name].file_size for name in (*code, *pickles)) > _TEXT:
                raise damaged(path, TITLE, "its code is larger than any model's")
            return _Archive(
                code={_module(name): file.read(members[name]).decode() for name in code},
                pickles={name: file.read(members[name]) for name in pickles},
                version=file.read(members["version"])[:8].decode().strip() if "version" in members else "1",
            )
    except DAMAGE as error:
        raise damaged(path, TITLE) from error


def _module(member: str) -> str:
    return member.removeprefix("code/").removesuffix(".py").replace("/", ".")


def _signature(path: Path, archive: _Archive) -> tuple[str, str]:
    """Arguments and result of the outermost module's `forward`, as they are written."""
    named = pickles.globals_of(archive.pickles["data.pkl"])
    outermost = next((name for name in named if name.startswith(_OWN)), "")
    module, _, name = outermost.rpartition(".")
    parts = _CLASS.split(archive.code.get(module, ""))
    # text before the first class, then name and text of each
    body = dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, "")
    found = _FORWARD.search(body)
    if not found:
        raise Fault(
            "model-invalid",
            f"{path}: its outermost module has no method `forward`.",
            "Export it with torch.jit.trace(model.eval(), example).save(PATH).",
        )
    return found[1], found[2]


def _inputs(path: Path, arguments: str, example: tuple[Tensor, ...]) -> tuple[Port, ...]:
    """The inputs of a signature, with the shapes that were traced if they belong to it."""
    names = list(_tensor_names(path, arguments))
    if len(example) != len(names):
        return tuple(Port(name, (), "float32") for name in names)
    return tuple(Port(name, each.shape, each.dtype) for name, each in zip(names, example, strict=True))


def _tensor_names(path: Path, arguments: str) -> Iterator[str]:
    for argument in filter(str.strip, re.split(r",(?![^\[]*\])", arguments)):
        name, _, kind = (part.strip() for part in argument.partition(":"))
        if kind.partition("=")[0].strip() != "Tensor":
            raise Fault(
                "model-op",
                f"{path}: the input {name!r} of `forward` is {kind}, not a tensor.",
                "Trace the model with plain tensors as inputs.",
            )
        yield name


def _tensors(path: Path, data: bytes) -> tuple[Tensor, ...]:
    try:
        return pickled.tensors(data) if data else ()
    except pickled.Malformed as error:
        raise damaged(path, TITLE, str(error)) from error
