"""From the user's model and images to the in/ folder that all jobs of a request share."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.calibration import listing, memory, noise, select
from host.calibration import staging as calibration
from host.calibration.images import image_size
from host.quality.channels import Layout, channel_layouts
from host.quality.compare import compare, explain
from host.quality.reference import normalise, reference_outputs
from host.settings import Settings
from host.sources import onnx_model
from host.sources.onnx_model import OnnxSource, TensorSpec
from shared.chips import Toolkit
from shared.faults import Fault

IN = "in"
MODEL = "model.onnx"


@dataclass(frozen=True)
class Staged:
    """The shared input of one request's jobs. Paths are relative to a job directory."""

    source: OnnxSource
    model: str
    model_sha256: str
    """Of the staged bytes, after shapes and opset were settled."""
    dataset: str
    heldout: list[str]
    config: dict[str, Any]
    """mean_values and std_values, one list per model input; empty for models without image inputs."""
    calibration: dict[str, Any]
    """What calibrates, for the record."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The facts for the record: what the model turned out to be, and what calibrates it."""
        return {
            "model": {
                "staged_sha256": self.model_sha256,
                "opset": self.source.opset,
                "inputs": [asdict(each) for each in self.source.inputs],
                "outputs": [asdict(each) for each in self.source.outputs],
            },
            "calibration": self.calibration,
            "config": self.config,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Reference:
    """What every chip's result is compared with: the float model's outputs, and their channel groups."""

    outputs: dict[str, NDArray[Any]]
    """By name, [images, *output shape]."""
    layouts: dict[str, Layout]


def stage(settings: Settings, quantize: bool, toolkit: Toolkit, folder: Path) -> Staged:
    """Check the model and the images, and write what the toolkit will read.

    Args:
        settings: of the request.
        quantize: whether any job of the request calibrates.
        toolkit: what reads the folder.
        folder: an empty folder that becomes in/.

    Raises:
        Fault: model-*, dataset-*, or bad-option when mean and std do not fit the input.
    """
    source = onnx_model.load(settings.model, toolkit, settings.size, quantize)
    data = source.proto.SerializeToString(deterministic=True)
    (folder / MODEL).write_bytes(data)
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
        model=f"{IN}/{MODEL}",
        model_sha256=hashlib.sha256(data).hexdigest(),
        dataset=f"{IN}/{staged.calibration.name}",
        heldout=[f"{IN}/{path.name}" for path in staged.held_out],
        config=config,
        calibration=described,
        notes=source.notes,
        warnings=tuple(warnings),
    )


def reference(staged: Staged, folder: Path) -> Reference:
    """Run the float model on the held-out inputs in `folder`."""
    proto, arrays = staged.source.proto, held_out(staged, folder)
    named = {each.name: array for each, array in zip(staged.source.inputs, arrays, strict=True)}
    return Reference(reference_outputs(proto, named), channel_layouts(proto))


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
    return {**checks.to_json(), "estimate": estimated, "explanation": explain(checks, estimated)}


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
