"""How many images a build can calibrate with before the machine suffers.

Measured on rknn-toolkit2 2.5.0 (benchmarks/calibration_memory.py): what grows with the number of images is
not the images but the model's largest activation, kept for all of them at once: twice by `normal`, which
works in portions of about 1 GiB, three times by `kl_divergence` and up to ten times by `mmse`, which have
no such bound. Other toolkits are held to the same until somebody measures them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import ceil, prod
from typing import NamedTuple

from onnx import ModelProto, ValueInfoProto

from host.sources.onnx.inference import inferred
from shared.faults import Fault

MIB = 1 << 20
ASSUMED_GROWTH = 8
GIB = 1 << 30

_INTERPRETER = 360 * MIB
_PER_MODEL_BYTE = 7
_SIMULATOR = 5.5  # largest activations, whatever the number of images


class Growth(NamedTuple):
    """Memory of an algorithm: largest activations per image, and the bytes it stops growing at."""

    per_image: float
    portion: float


GROWTH = {
    "normal": Growth(2.2, 1.1 * GIB),
    "kl_divergence": Growth(3.3, float("inf")),
    "mmse": Growth(10.0, float("inf")),
}
DEFAULT_IMAGES = {"normal": 100, "kl_divergence": 100, "mmse": 20}
"""Images used when none were asked for: the vendor's advice, less where an image costs seconds."""


class Footprint(NamedTuple):
    """What a model's calibration memory depends on, in bytes."""

    largest_activation: int
    model: int


def footprint(proto: ModelProto) -> Footprint:
    """The footprint of a model whose inputs are static.

    Activations count as float32. Where shape inference stops, the largest known tensor has to do.
    """
    graph = inferred(proto).graph
    weights = {tensor.name for tensor in proto.graph.initializer}  # old exporters list them as inputs too
    values = (*graph.input, *graph.value_info, *graph.output)
    largest = max((_elements(value) for value in values if value.name not in weights), default=0)
    return Footprint(4 * largest, proto.ByteSize())


def assumed(inputs: Iterable[Sequence[int]], model: int) -> Footprint:
    """The footprint of a model whose graph is not read: input shapes and bytes of its files are known.

    The first convolution of an image network usually has the largest activation: 16 to 64 channels at half
    the size, some 5 times the three of the input.
    """
    return Footprint(4 * ASSUMED_GROWTH * max(map(prod, inputs), default=0), model)


def estimate_bytes(images: int, algorithm: str, model: Footprint) -> int:
    """Peak resident bytes of a build that calibrates with `images` and simulates; 0 images: not quantized."""
    growth = GROWTH.get(algorithm, GROWTH["mmse"])
    calibration = min(images * growth.per_image * model.largest_activation, growth.portion)
    fixed = _INTERPRETER + _PER_MODEL_BYTE * model.model
    return int(fixed + max(calibration, _SIMULATOR * model.largest_activation))


def images_that_fit(images: int, limit_bytes: int, algorithm: str, model: Footprint) -> int:
    """The most images, up to `images`, whose estimate stays within the limit; 0 when not even one does."""
    return bisect_right(
        range(1, images + 1), limit_bytes, key=lambda count: estimate_bytes(count, algorithm, model)
    )


def image_count(
    found: int, asked: int | None, limit_bytes: int, algorithm: str, model: Footprint
) -> tuple[int, str]:
    """How many of `found` images to calibrate with, and a warning when memory made it fewer than usual.

    Args:
        found: images in the dataset.
        asked: the user's --max-images; None for the algorithm's default.
        limit_bytes: memory of the job.

    Raises:
        Fault: dataset-too-large when the number asked for, or even one image, does not fit.
    """
    wanted = min(found, asked or DEFAULT_IMAGES.get(algorithm, DEFAULT_IMAGES["normal"]))
    fitting = images_that_fit(wanted, limit_bytes, algorithm, model)
    if fitting == wanted:
        return wanted, ""
    need = _size(estimate_bytes(wanted, algorithm, model))
    text = (
        f"calibrating with {wanted} images by {algorithm} takes about {need} GiB of memory, "
        f"the job may use {_size(limit_bytes)} GiB"
    )
    if not fitting:
        hint = f"Use --memory {_size(estimate_bytes(1, algorithm, model))}g or more."
        raise Fault("dataset-too-large", f"Not even one image fits: {text}.", hint)
    if asked:
        hint = f"Use --max-images {fitting} or less, or --memory {need}g or more."
        raise Fault("dataset-too-large", f"Too many images: {text}.", hint)
    return fitting, f"Using {fitting} images, evenly spaced: {text}."


def _size(count: int) -> str:
    """Bytes in GiB, rounded up to a tenth."""
    return f"{ceil(10 * count / GIB) / 10}"


def _elements(value: ValueInfoProto) -> int:
    dimensions = value.type.tensor_type.shape.dim
    return prod(dimension.dim_value for dimension in dimensions)
