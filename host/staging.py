"""From the user's model and images to the files that the jobs of a request share, and to what judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.calibration import listing, memory, noise, select
from host.calibration import staging as calibration
from host.calibration.images import PAD, image_size
from host.decoding.decoder import Detections, decode
from host.models import Model
from host.quality import detections
from host.quality.channels import Layout, channel_layouts
from host.quality.compare import compare, explain
from host.quality.reference import normalise, reference_outputs
from host.results.decode import Image, Input
from host.settings import Settings
from host.sources import metadata, onnx_model
from host.sources.onnx_model import OnnxSource, TensorSpec
from shared.chips import Toolkit
from shared.faults import Fault

IN = "in"
SWAPPED = "quant_img_RGB2BGR"
"""The option of the toolkit that says that the model takes blue first."""


@dataclass(frozen=True)
class Staged:
    """The shared input of one request's jobs. Paths are relative to a job directory."""

    source: OnnxSource
    inputs: tuple[Input, ...]
    """How a program feeds them."""
    labels: tuple[str, ...]
    """Class names in order, or none."""
    dataset: str
    heldout: list[str]
    config: dict[str, Any]
    """mean_values and std_values, one list per model input; empty for models without image inputs."""
    calibration: dict[str, Any]
    """What calibrates, for the record."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self, model: Model) -> dict[str, Any]:
        """The facts for the record: what the model turned out to be and became, and what calibrates it."""
        return {
            "model": {
                "opset": self.source.opset,
                "inputs": [asdict(each) for each in self.source.inputs],
                "outputs": [asdict(each) for each in self.source.outputs],
            },
            "prepared": model.to_json(),
            "calibration": self.calibration,
            "notes": [*self.notes, *model.notes],
            "warnings": [*self.warnings, *model.warnings],
        }


@dataclass(frozen=True)
class Reference:
    """What a result is compared with: the prepared float model's outputs, and what the source's decode to."""

    model: Model
    outputs: dict[str, NDArray[Any]]
    """By name, [images, *output shape]."""
    layouts: dict[str, Layout]
    detections: tuple[Detections, ...]
    """Of each image, where the head is known."""


def stage(settings: Settings, quantize: bool, toolkit: Toolkit, folder: Path) -> Staged:
    """Check the model and the images, and write the images that the toolkit will read.

    Args:
        settings: of the request.
        quantize: whether any job of the request calibrates.
        toolkit: what reads the folder.
        folder: an empty folder, a part of every job's in/.

    Raises:
        Fault: model-*, dataset-*, or bad-option when mean and std do not fit the input.
    """
    source = onnx_model.load(settings.model, toolkit, settings.size)
    labels = metadata.read_labels(settings.labels) if settings.labels else metadata.labels(source.proto)
    config = _normalisation(settings, source.inputs)
    warnings: list[str] = []
    if settings.dataset is None:
        staged = calibration.stage_noise(source.inputs, folder, toolkit.calibration)
        described: dict[str, Any] = {"noise_seed": noise.SEED, "images": noise.CALIBRATION}
        if quantize:
            warnings.append(
                "calibrated with random noise, because no --dataset was given: the file has the right size "
                "and speed, but not the right accuracy. Give 50-200 typical images for real use"
            )
    else:
        if len(source.inputs) > 1:
            raise Fault(
                "dataset-invalid",
                f"the model has {len(source.inputs)} inputs, a dataset serves models with one",
                "Leave --dataset out, or export the model with one input.",
            )
        images = listing.find_images(settings.dataset)
        count, warning = memory.image_count(
            len(images),
            settings.max_images,
            min(settings.memory_bytes, _available_bytes()) if quantize else 1 << 62,
            settings.algorithm,
            memory.footprint(source.proto),
        )
        selection = select.select(images, count)
        staged = calibration.stage(selection, source.inputs[0], settings.resize, folder, toolkit.calibration)
        described = {
            "images": len(selection.calibration),
            "held_out": len(selection.held_out),
            "held_out_also_calibrate": selection.reused_held_out,
            "files": [image.name for image in selection.calibration],
        }
        warnings += [warning] if warning else []
    return Staged(
        source=source,
        inputs=_fed_by_programs(settings, source.inputs, config),
        labels=labels,
        dataset=f"{IN}/{staged.calibration.name}",
        heldout=[f"{IN}/{path.name}" for path in staged.held_out],
        config=config,
        calibration=described,
        notes=source.notes,
        warnings=tuple(warnings),
    )


def reference(staged: Staged, model: Model, folder: Path) -> Reference:
    """Run the float model on the held-out inputs in `folder`, and the source where its head was cut."""
    prepared, arrays = model.prepared, held_out(staged, folder)
    named = {each.name: array for each, array in zip(staged.source.inputs, arrays, strict=True)}
    outputs = reference_outputs(prepared.proto, named)
    found: tuple[Detections, ...] = ()
    if prepared.decode.known:
        same = prepared.decode.layout == prepared.source.layout
        own = outputs if same else reference_outputs(staged.source.proto, named)
        found = tuple(decode(answers, prepared.source) for answers in zip(*own.values(), strict=True))
    return Reference(model, outputs, channel_layouts(prepared.proto), found)


def held_out(staged: Staged, folder: Path) -> list[NDArray[Any]]:
    """The held-out inputs in `folder` as the model takes them: [samples, *shape] each."""
    return fed(staged, [np.load(folder / Path(path).name) for path in staged.heldout])


def fed(staged: Staged, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Staged samples, an array per input, as the model takes them: images are normalised, channels first."""
    values = []
    for number, (each, array) in enumerate(zip(staged.source.inputs, arrays, strict=True)):
        if image_size(each.shape):
            mean, std = (staged.config[key][number] for key in ("mean_values", "std_values"))
            pictures = array
            if array.dtype != np.uint8:
                pictures = array.reshape(-1, *each.shape[1:]).transpose(0, 2, 3, 1)
            array = normalise(pictures, mean, std)
        values.append(array.reshape(-1, *each.shape))
    return values


def simulated(folder: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """The outputs that a job's simulator left in `folder`: [samples, *output shape] each."""
    return [np.load(folder / name) for name in names]


def check(
    expected: Reference,
    answers: Sequence[NDArray[Any]],
    activation_bits: int | None,
    estimated: bool = False,
) -> dict[str, Any] | None:
    """A simulator's or an estimate's outputs against the float model's; None when there are none."""
    if not answers:
        return None
    checks = compare(answers, expected.outputs, expected.layouts, activation_bits)
    return {
        **checks.to_json(),
        "decoded": _decoded(expected, answers),
        "estimate": estimated,
        "explanation": explain(checks, estimated),
    }


def _decoded(expected: Reference, answers: Sequence[NDArray[Any]]) -> dict[str, Any] | None:
    """How the boxes in the answers compare with the source's own; None where the head is not known."""
    if not expected.detections:
        return None
    how = expected.model.prepared.decode
    found = [decode(each, how) for each in zip(*answers, strict=True)]
    return detections.compare(expected.detections, found, how.nms).to_json()


def _available_bytes() -> int:
    """Memory that this machine could give to a job now; no bound where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")), 1 << 62)


def _normalisation(settings: Settings, inputs: Sequence[TensorSpec]) -> dict[str, Any]:
    sizes = [image_size(each.shape) for each in inputs]
    if not any(sizes):
        return {}
    values: dict[str, Any] = {}
    for key, name, given, neutral in (
        ("mean_values", "mean", settings.mean, 0.0),
        ("std_values", "std", settings.std, 1.0),
    ):
        values[key] = [
            [neutral] * each.shape[min(1, len(each.shape) - 1)]
            if size is None
            else _per_channel(name, given, size.channels)
            for each, size in zip(inputs, sizes, strict=True)
        ]
    return values


def _fed_by_programs(
    settings: Settings, inputs: Sequence[TensorSpec], config: Mapping[str, Any]
) -> tuple[Input, ...]:
    """What a program on the board hands over: pixels as they are, since the .rknn normalises them itself."""
    color = "BGR" if settings.config.get(SWAPPED) else "RGB"
    fed = []
    for number, each in enumerate(inputs):
        size, image = image_size(each.shape), None
        if size:
            mean, std = (tuple(config[key][number]) for key in ("mean_values", "std_values"))
            pad = PAD if settings.resize == "letterbox" else None
            image = Image(color if size.channels == 3 else "grey", mean, std, settings.resize, pad)
        fed.append(Input(each.name, each.shape, image))
    return tuple(fed)


def _per_channel(name: str, given: tuple[float, ...], channels: int) -> list[float]:
    """One number per channel; a single or repeated number serves any count."""
    if len(given) == channels:
        return list(given)
    if len(set(given)) == 1:
        return [given[0]] * channels
    raise Fault(
        "bad-option",
        f"--{name} has {len(given)} numbers, the input has {channels} channel{'s'[: channels > 1]}",
        "Give one number, or one per channel.",
    )
