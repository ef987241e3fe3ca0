"""From the user's model and images to the files that the jobs of a request share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host.calibration import listing, memory, noise, select
from host.calibration import staging as calibration
from host.calibration.images import PAD, channels_first, image_size
from host.results.decode import Image, Input
from host.settings import Settings
from host.sources.native.model import NativeSource
from host.sources.onnx import metadata
from host.sources.onnx.model import OnnxSource
from host.sources.source import TensorSpec
from host.steps import colours, normalisation
from host.steps.models import IN, Model
from shared.chips import Toolkit
from shared.faults import Fault

QUANTIZED = "the model is quantized already: its own numbers are kept, whatever dtype the files are named by"


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
    """What the toolkit is told of the inputs: mean_values and std_values, one list for each (neither where
    none is normalised), and the order of colours where that has to be said."""
    normalised: tuple[bool, ...]
    """Of each input, whether the artefact subtracts mean_values from it and divides by std_values."""
    blue_first: tuple[bool, ...]
    """Of each input, whether the model takes the colours of images so; in staged files red is first."""
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
                "quantized": self.quantized,
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
        Fault: dataset-*, or bad-option when mean, std or color do not fit the inputs, or when something is
            asked for that only a model can have which is not quantized yet.
    """
    quantized = source.quantized
    if quantized:
        _refuse_quantization(settings)
        quantize = False
    labels = metadata.read_labels(settings.labels) if settings.labels else _labels(source)
    normalised = normalisation.wanted(settings, source.inputs)
    config = normalisation.values(settings, source.inputs, normalised)
    arrays, warnings = False, []
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
        arrays = images[0].suffix.lower() == listing.ARRAY
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
        if arrays:
            warnings += normalisation.twice(np.load(staged.held_out[0]), config)
    blue_first = colours.blue_first(settings, source.inputs)
    order = colours.option(source.inputs, toolkit, blue_first, arrays)
    inside = toolkit.colours.inside
    return Staged(
        source=source,
        inputs=_fed_by_programs(settings, source.inputs, config, normalised, blue_first, inside),
        labels=labels,
        dataset=f"{IN}/{staged.calibration.name}",
        heldout=[f"{IN}/{path.name}" for path in staged.held_out],
        config={**config, **order},
        normalised=normalised,
        blue_first=blue_first,
        calibration=described,
        quantized=quantized,
        notes=(
            *source.notes,
            *normalisation.left_out(settings, source.inputs, normalised),
            *((QUANTIZED, toolkit.about_quantized) if quantized else ()),
        ),
        warnings=tuple(warnings),
    )


def _refuse_quantization(settings: Settings) -> None:
    for flag, asked in (("--hybrid", settings.hybrid is not None), ("--analysis", settings.analysis)):
        if asked:
            raise Fault(
                "bad-option",
                f"{flag}: the model is quantized already, and the toolkit keeps its numbers",
                f"Leave {flag} out, or give the model as it was before it was quantized.",
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


def _fed_by_programs(
    settings: Settings,
    inputs: Sequence[TensorSpec],
    config: Mapping[str, Any],
    normalised: Sequence[bool],
    blue_first: Sequence[bool],
    inside: bool,
) -> tuple[Input, ...]:
    """What a program on the board hands over: pixels as they are, since the .rknn normalises them itself.

    With `inside` it turns them into blue first itself, too; mean and std are in the order of what is fed.
    """
    fed = []
    for number, (each, normal, blue) in enumerate(zip(inputs, normalised, blue_first, strict=True)):
        image = scale = None
        if normal:
            order = -1 if blue and inside else 1
            mean, std = (tuple(config[key][number][::order]) for key in ("mean_values", "std_values"))
            if size := image_size(each.shape, each.channels_last):
                pad = PAD if settings.resize == "letterbox" else None
                color = "BGR" if blue and not inside else "RGB"
                image = Image(
                    color if size.channels == colours.CHANNELS else "grey", mean, std, settings.resize, pad
                )
            else:
                scale = (mean, std)
        dtype = each.dtype if each.dtype in normalisation.PIXELS else "uint8"
        shape = channels_first(each.shape) if each.channels_last else each.shape
        fed.append(Input(each.name, shape, image, dtype, scale))
    return tuple(fed)
