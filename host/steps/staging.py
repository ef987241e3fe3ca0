"""From the user's model and images to the files that the jobs of a request share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.calibration import listing, memory, noise, select
from host.calibration import staging as calibration
from host.calibration.images import PAD, channels_first, image_size
from host.results.decode import Image, Input
from host.settings import Settings
from host.sources.native.model import NativeSource
from host.sources.onnx import metadata
from host.sources.onnx.model import OnnxSource
from host.sources.source import TensorSpec
from host.steps.models import IN, Model
from shared.chips import Toolkit
from shared.faults import Fault

PIXELS = ("uint8", "int8")
"""Input types of models that take pixels as integers; toolkits ignore mean and std for them."""
SWAPPED = "quant_img_RGB2BGR"
"""The option of the toolkit that says that the model takes blue first."""


@dataclass(frozen=True)
class Staged:
    """The shared input of one request's jobs. Paths are relative to a job directory."""

    source: OnnxSource | NativeSource
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
    quantized: bool
    """Whether the model's own framework quantized it, so that no toolkit may do so again."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    """About the calibration."""

    def to_json(self, model: Model, quantize: bool) -> dict[str, Any]:
        """The facts for the record: what the model turned out to be and became, and what calibrates it."""
        return {
            "model": {
                **_version(self.source),
                "inputs": [asdict(each) for each in self.source.inputs],
                "outputs": [asdict(each) for each in self.source.outputs],
            },
            "prepared": model.to_json(),
            "calibration": self.calibration,
            "notes": [*self.notes, *(change.what for change in model.changes)],
            "warnings": [*(self.warnings if quantize else ()), *model.warnings],
        }


def stage(
    settings: Settings, source: OnnxSource | NativeSource, quantize: bool, toolkit: Toolkit, folder: Path
) -> Staged:
    """Check the images, and write what the toolkit will read.

    A model that is quantized already is not calibrated; its inputs serve the comparison alone.

    Args:
        settings: of the request.
        source: the model, checked.
        quantize: whether any job of the request calibrates.
        toolkit: what reads the folder.
        folder: an empty folder, a part of every job's in/.

    Raises:
        Fault: dataset-*, or bad-option when mean and std do not fit the input.
    """
    quantized = isinstance(source, NativeSource) and source.quantized
    labels = metadata.read_labels(settings.labels) if settings.labels else _labels(source)
    config = _normalisation(settings, source.inputs)
    warnings: list[str] = []
    if settings.dataset is None:
        staged = calibration.stage_noise(source.inputs, folder, toolkit.calibration)
        described: dict[str, Any] = {"noise_seed": noise.SEED, "images": noise.CALIBRATION}
        if quantize and not quantized:
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
            _footprint(source),
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
        quantized=quantized,
        notes=source.notes,
        warnings=tuple(warnings),
    )


def _version(source: OnnxSource | NativeSource) -> dict[str, Any]:
    if isinstance(source, OnnxSource):
        return {"opset": source.opset}
    return {"version": source.version}


def _labels(source: OnnxSource | NativeSource) -> tuple[str, ...]:
    return metadata.labels(source.proto) if isinstance(source, OnnxSource) else ()


def _footprint(source: OnnxSource | NativeSource) -> memory.Footprint:
    if isinstance(source, OnnxSource):
        return memory.footprint(source.proto)
    size = sum(path.stat().st_size for path in source.source.files.values())
    return memory.assumed((each.shape for each in source.inputs), size)


def _available_bytes() -> int:
    """Memory that this machine could give to a job now; no bound where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")), 1 << 62)


def _normalisation(settings: Settings, inputs: Sequence[TensorSpec]) -> dict[str, Any]:
    sizes = [image_size(each.shape, each.channels_last) for each in inputs]
    if not any(sizes):
        return {}
    values: dict[str, Any] = {}
    for key, name, given, neutral in (
        ("mean_values", "mean", settings.mean, 0.0),
        ("std_values", "std", settings.std, 1.0),
    ):
        values[key] = [
            [neutral] * _channels(each)
            if size is None or each.dtype in PIXELS
            else _per_channel(name, given, size.channels)
            for each, size in zip(inputs, sizes, strict=True)
        ]
    return values


def _channels(tensor: TensorSpec) -> int:
    shape = channels_first(tensor.shape) if tensor.channels_last else tensor.shape
    return shape[min(1, len(shape) - 1)]


def _fed_by_programs(
    settings: Settings, inputs: Sequence[TensorSpec], config: Mapping[str, Any]
) -> tuple[Input, ...]:
    """What a program on the board hands over: pixels as they are, since the .rknn normalises them itself."""
    color = "BGR" if settings.config.get(SWAPPED) else "RGB"
    fed = []
    for number, each in enumerate(inputs):
        size, image = image_size(each.shape, each.channels_last), None
        dtype = each.dtype if each.dtype in PIXELS else "uint8"
        if size:
            mean, std = (tuple(config[key][number]) for key in ("mean_values", "std_values"))
            pad = PAD if settings.resize == "letterbox" else None
            image = Image(color if size.channels == 3 else "grey", mean, std, settings.resize, pad)
        shape = channels_first(each.shape) if each.channels_last else each.shape
        fed.append(Input(each.name, shape, image, dtype))
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
