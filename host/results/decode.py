"""model.decode.json: all a program needs to feed a .rknn and to read what comes out (docs/decode.md).

What outputs mean comes from the prepared graph; types, scales and memory layouts from the file itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from host.decoding.contract import Decode
from shared.faults import Fault
from shared.rknn_file import RknnFile, Tensor

NAME = "model.decode.json"
VERSION = 1
OF_OUTPUT = ("name", "shape", "parts", "stride", "channels_last")


class Image(NamedTuple):
    """How pixels get into an image input; mean and std are on the 0-255 scale, one number per channel."""

    color: str
    """RGB, BGR or grey."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str
    pad: int | None
    """Grey of the bars that a letterbox adds; None for other ways to resize."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the fields above."""
        pad = {} if self.pad is None else {"pad": self.pad}
        return {"color": self.color, **_scale(self.mean, self.std), "resize": self.resize, **pad}


class Input(NamedTuple):
    """An input of the source model: its name and shape there, and how images get into it if it takes some."""

    name: str
    shape: tuple[int, ...]
    image: Image | None
    dtype: str = "uint8"
    """Of images; int8 stands for pixels less 128."""
    scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and std of an input of arrays that the artefact normalises, one number per channel each."""


def document(
    decode: Decode,
    name: str,
    chip: str,
    labels: Sequence[str],
    inputs: Sequence[Input],
    file: RknnFile | None,
) -> dict[str, Any]:
    """The content of model.decode.json.

    Args:
        decode: what the outputs of the prepared graph mean.
        name: of the model.
        chip: that the artefact is for.
        labels: class names in order, or none.
        inputs: in the model's order.
        file: the artefact as read from its bytes; None for a format that cannot be read.

    Raises:
        Fault: artifact-invalid when the artefact has other inputs or outputs than the model.
    """
    meant = decode.to_json()
    outputs = meant.pop("outputs")
    return {
        "decode": VERSION,
        "model": name,
        "task": decode.task,
        "labels": list(labels),
        "chip": chip,
        "inputs": [
            {**_fed(each), "stored": tensor and _stored(tensor)}
            for each, tensor in zip(inputs, _tensors(file and file.inputs, inputs, "inputs"), strict=True)
        ],
        "outputs": [
            {"role": each.role, **fields, **({} if tensor is None else _given(tensor))}
            for each, fields, tensor in zip(
                decode.outputs, outputs, _tensors(file and file.outputs, outputs, "outputs"), strict=True
            )
        ],
        "decoder": meant,
    }


def meaning(content: Mapping[str, Any]) -> Decode:
    """What the outputs mean, from the content of a model.decode.json."""
    outputs = [{name: each[name] for name in OF_OUTPUT} for each in content["outputs"]]
    return Decode.from_json({**content["decoder"], "outputs": outputs})


def _tensors(found: Sequence[Tensor] | None, known: Sequence[Any], what: str) -> Sequence[Tensor | None]:
    """The artefact's tensors in the model's order; a None for each where the artefact cannot be read."""
    if found is None:
        return [None] * len(known)
    if len(found) != len(known):
        told = ", ".join(tensor.name for tensor in found)
        raise Fault("artifact-invalid", f"The file has {len(found)} {what} ({told}), the model {len(known)}.")
    return found


def _fed(given: Input) -> dict[str, Any]:
    """What a program hands to the runtime."""
    if given.image is None:
        normalised = {"layout": "NCHW", **_scale(*given.scale)} if given.scale else {}
        return {"name": given.name, "shape": list(given.shape), "dtype": "float32", **normalised}
    batch, channels, height, width = given.shape
    shape = [batch, height, width, channels]
    facts = {"name": given.name, "shape": shape, "layout": "NHWC", "dtype": given.dtype}
    return {**facts, **given.image.to_json()}


def _stored(tensor: Tensor) -> dict[str, Any]:
    """How the NPU has a tensor: type, quantization, memory layout."""
    quantized = {"scale": tensor.scale, "zero_point": tensor.zero_point}
    return {
        "dtype": tensor.dtype,
        **({} if tensor.scale is None else quantized),
        **({} if tensor.native_layout is None else {"native": _native(tensor)}),
    }


def _given(tensor: Tensor) -> dict[str, Any]:
    return {**({} if tensor.layout is None else {"layout": tensor.layout}), **_stored(tensor)}


def _native(tensor: Tensor) -> dict[str, Any]:
    facts = {"layout": tensor.native_layout, "shape": tensor.native_shape}
    if len(tensor.native_shape) != 5:
        return facts
    _, _, height, width, block = tensor.native_shape
    return {**facts, "offset": f"((c // {block} * {height} + y) * {width} + x) * {block} + c % {block}"}


def _scale(mean: Sequence[float], std: Sequence[float]) -> dict[str, list[float]]:
    """Whole numbers are written as such."""
    return {"mean": [*map(_short, mean)], "std": [*map(_short, std)]}


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
