"""Writes what the toolkit reads: one file per calibration input, their list, and the held-out inputs.

Images are resized here and written without loss in the format that the table names for the toolkit:
rknn-toolkit2 reads BMP back to exactly this array (red first unless `quant_img_RGB2BGR` is set), rknn-toolkit
documents PNG. The same bytes come out every time, and nothing is spent on compressing files that live for one
build.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from host.calibration.images import ImageSize, check_header, image_size, read_image
from host.calibration.listing import ARRAY, bad_files
from host.calibration.noise import CALIBRATION, HELD_OUT, noise_arrays, noise_images
from host.calibration.select import Selection
from shared.faults import Fault

LIST = "calibration.txt"
FILES = "calibration"

Array = NDArray[Any]
Formats = Mapping[str, str]
"""How calibration files are written: "images" -> their extension, "arrays" -> nchw or nhwc."""

ORDERS: dict[tuple[str, bool], tuple[int, ...]] = {
    ("nchw", False): (0, 1, 2, 3),
    ("nhwc", False): (0, 2, 3, 1),
    ("nchw", True): (0, 3, 1, 2),
    ("nhwc", True): (0, 1, 2, 3),
}
"""The axes of an input of four dimensions, as they follow each other in a file: by the file's order, and by
whether the model has its channels last. Inputs of other dimensions stay as they are."""


class Input(Protocol):
    """A model's input: its static shape and numpy dtype name."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def channels_last(self) -> bool: ...


class Staged(NamedTuple):
    """Files in the job's folder.

    `calibration` lists the inputs, one line a sample, relative to itself. `held_out` has one .npy per model
    input: uint8 (samples, height, width, channels) for images, else (samples, *input shape).
    """

    calibration: Path
    held_out: tuple[Path, ...]


def stage(selection: Selection, model_input: Input, resize: str, folder: Path, formats: Formats) -> Staged:
    """Stage a dataset for a model with one input.

    Args:
        selection: image files, or .npy files of exactly the input's shape (the batch may be left out).
        model_input: (1, 1 or 3, height, width) for image files.
        resize: a key of `images.RESIZES`.
        folder: exists.
        formats: of the toolkit's calibration files.

    Raises:
        Fault: dataset-invalid, which names every file that cannot be used.
    """
    read, write, check = _handling(selection, model_input, resize, formats)
    used = list(dict.fromkeys((*selection.calibration, *selection.held_out)))
    stems = {path: folder / FILES / f"{index:05d}" for index, path in enumerate(selection.calibration)}
    written: dict[Path, Path] = {}
    held_out: dict[Path, Array] = {}

    def work(path: Path) -> None:
        sample = read(path)
        if path in stems:
            written[path] = write(stems[path], sample)
        if path in selection.held_out:
            held_out[path] = sample

    (folder / FILES).mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow and numpy let other threads run
        reasons = [*pool.map(_reason(work), used), *pool.map(_reason(check), selection.dropped)]
    files = [*used, *selection.dropped]
    bad = [(path, reason) for path, reason in zip(files, reasons, strict=True) if reason]
    if bad:
        raise bad_files(bad, len(files))
    rows = [(written[path],) for path in selection.calibration]
    samples = np.stack([held_out[path] for path in selection.held_out])
    return Staged(_write_list(folder, rows), (_write_held_out(folder, 0, samples),))


def stage_noise(inputs: Sequence[Input], folder: Path, formats: Formats) -> Staged:
    """Stage noise for a model with any number of inputs."""
    (folder / FILES).mkdir(exist_ok=True)
    columns, held_out = [], []
    for number, each in enumerate(inputs):
        size = _size(each)
        write = _writing(each, formats, bool(size))
        samples = _noise(each, size)
        held_out.append(_write_held_out(folder, number, samples[CALIBRATION:]))
        stems = [folder / FILES / f"{number}-{row:05d}" for row in range(CALIBRATION)]
        columns.append([write(stem, sample) for stem, sample in zip(stems, samples, strict=False)])
    return Staged(_write_list(folder, zip(*columns, strict=True)), tuple(held_out))


def read_back(calibration: Path, inputs: Sequence[Input], formats: Formats, count: int) -> list[Array]:
    """What the first `count` lines of a staged list hold, one array per model input.

    Returns:
        uint8 (samples, height, width, channels) for images, else (samples, *input shape).
    """
    lines = calibration.read_text(encoding="utf-8").splitlines()[:count]
    rows = [[calibration.parent / name for name in line.split(" ")] for line in lines]
    return [
        np.stack([_read_staged(path, each, formats) for path in column])
        for column, each in zip(zip(*rows, strict=True), inputs, strict=True)
    ]


def _read_staged(path: Path, model_input: Input, formats: Formats) -> Array:
    if path.suffix != ARRAY:
        size = _size(model_input)
        assert size is not None
        return np.asarray(Image.open(path)).reshape(size.height, size.width, size.channels)
    sample: Array = np.load(path)
    return sample.transpose(np.argsort(_order(model_input, formats))) if sample.ndim == 4 else sample


def _size(model_input: Input) -> ImageSize | None:
    return image_size(model_input.shape, model_input.channels_last)


def _order(model_input: Input, formats: Formats) -> tuple[int, ...]:
    return ORDERS[formats["arrays"], model_input.channels_last]


def _writing(model_input: Input, formats: Formats, images: bool) -> Callable[[Path, Array], Path]:
    """What writes a sample of this input to a file of this stem."""
    if images:
        return partial(_write_image, suffix=f".{formats['images']}")
    return partial(_write_array, order=_order(model_input, formats))


class _Handling(NamedTuple):
    """How one kind of file is read, written and, where it is not used, looked at."""

    read: Callable[[Path], Array]
    write: Callable[[Path, Array], Path]
    check: Callable[[Path], object]


def _handling(selection: Selection, model_input: Input, resize: str, formats: Formats) -> _Handling:
    files = (*selection.calibration, *selection.held_out, *selection.dropped)
    arrays = [path for path in files if path.suffix.lower() == ARRAY]
    if arrays and len(arrays) < len(files):
        raise Fault(
            "dataset-invalid",
            f"The dataset mixes {len(arrays)} {ARRAY} files with {len(files) - len(arrays)} images.",
            "Keep one kind.",
        )
    if arrays:
        read = partial(_read_array, model_input=model_input)
        return _Handling(read, _writing(model_input, formats, False), read)
    size = _size(model_input)
    if size is None:
        shape = "x".join(map(str, model_input.shape))
        raise Fault(
            "dataset-invalid",
            f"Input {model_input.name!r} has the shape {shape}: images only fit 1x1xHxW and 1x3xHxW.",
            f"Give a dataset of {ARRAY} files of shape {shape}, or export the model with a channels-first "
            "image input of batch 1.",
        )
    read = partial(read_image, size=size, resize=resize)
    return _Handling(read, _writing(model_input, formats, True), check_header)


def _reason(step: Callable[[Path], object]) -> Callable[[Path], str]:
    """The step as one that returns what is wrong with a file, or nothing."""

    def reason(path: Path) -> str:
        try:
            step(path)
        except ValueError as error:
            return str(error)
        return ""

    return reason


def _read_array(path: Path, model_input: Input) -> Array:
    """One sample of the input's shape and dtype; ValueError with the reason when the file has none."""
    shape = model_input.shape
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError("not a NumPy array") from error
    if array.shape != shape and (1, *array.shape) != shape:
        turned = sorted(array.shape) in (sorted(shape), sorted(shape[1:]))
        cure = f": transpose it to {'x'.join(map(str, shape))}" if turned else ""
        raise ValueError(f"shape {array.shape}, the input has {shape}{cure}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{array.dtype} instead of numbers")
    if not np.isfinite(array).all():
        raise ValueError("holds NaN or infinity")
    return array.reshape(shape).astype(_dtype(model_input))


def _noise(model_input: Input, size: ImageSize | None) -> Array:
    count = CALIBRATION + HELD_OUT
    if size:
        return noise_images(count, size.height, size.width, size.channels)
    return noise_arrays(count, model_input.shape, _dtype(model_input))


def _dtype(model_input: Input) -> str:
    """The toolkit computes every float input as float32."""
    return "float32" if model_input.dtype.startswith("float") else model_input.dtype


def _write_image(stem: Path, sample: Array, suffix: str) -> Path:
    path = stem.with_suffix(suffix)
    Image.fromarray(sample[..., 0] if sample.shape[-1] == 1 else sample).save(path, compress_level=0)
    return path


def _write_array(stem: Path, sample: Array, order: tuple[int, ...]) -> Path:
    path = stem.with_suffix(ARRAY)
    if sample.ndim == 4:
        sample = np.ascontiguousarray(sample.transpose(order))
    np.save(path, sample)
    return path


def _write_list(folder: Path, rows: Iterable[tuple[Path, ...]]) -> Path:
    path = folder / LIST
    lines = [" ".join(f"{FILES}/{file.name}" for file in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def _write_held_out(folder: Path, number: int, samples: Array) -> Path:
    path = folder / f"heldout.{number}{ARRAY}"
    np.save(path, samples)
    return path
