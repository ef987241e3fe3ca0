"""Measures which chips and dtypes a toolkit version really builds: the evidence behind shared/toolkits.json.

The vendor's documents promise cells that abort the process, and config() accepts cells that compute garbage.
So every cell is built for real, run in the simulator and compared with ONNX Runtime. A build may kill its
process: each cell has a child forked from this one, where the toolkit is imported once.

    PYTHON benchmarks/probe_matrix.py MODEL.onnx... --logs DIR --output docs/measurements/chip-dtype-matrix.md

PYTHON is one with rknn-toolkit2, onnx, onnxruntime and OpenCV: the venv of the local engine, or an image's.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import cv2  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import onnxruntime  # type: ignore[import-untyped,unused-ignore]
from rknn.api import RKNN

CHIPS = ["rk3588", "rk3576", "rk3566", "rk3568", "rk3562"]
CHIPS += ["rv1103", "rv1106", "rv1103b", "rv1106b", "rv1126b", "rk2118"]
DTYPES = ["fp16", "w8a8", "w16a16i_dfp", "w4a16", "w8a16"]
CALIBRATION_IMAGES = 4
SANE_COSINE = 0.9
MAX_RETRIES = 4

# the last kind is glibc's: "malloc(): invalid next size", "munmap_chunk(): invalid pointer"
ERROR_LINE = re.compile(r"^(E (?!rknn-toolkit2)|\w*Error: |No lowering found|\w+\(\): )")
SUGGESTED_RULE = re.compile(r"disable_rules=\['([^']+)'\]")
PLATFORM = re.compile(rb'"target_platform":\s*\["(\w+)"\]')
CLOCK = re.compile(r"\[\d\d:\d\d:\d\d\.\d+\] ")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Cell(NamedTuple):
    """One build: `status` is ok, insane (computes something else), rejected, timeout or a signal's name."""

    model: str
    chip: str
    dtype: str
    status: str
    cosine: float | None
    seconds: float
    disabled_rules: list[str]
    error: str


def read_input(model: Path) -> tuple[str, list[int]]:
    """Name and NCHW shape of the model's only input, a dynamic batch fixed to 1."""
    (tensor,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    return tensor.name, [1, *tensor.shape[1:]]


def write_calibration(folder: Path, height: int, width: int) -> list[Path]:
    """Seeded pages of text, turned by quarters: noise drives a trained network out of its range."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    images = [folder / f"{index}.png" for index in range(CALIBRATION_IMAGES)]
    for turns, image in enumerate(images):
        page = np.full((height, width, 3), random.integers(200, 256), np.uint8)
        for baseline in range(20, height, 16):
            line = "".join(random.choice(list("abcdefghij "), width // 6))
            cv2.putText(page, line, (8, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (40, 40, 40))
        cv2.imwrite(str(image), np.rot90(page, turns))
    (folder / "dataset.txt").write_text("".join(f"{image}\n" for image in images))
    return images


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two arrays of one size; 0 where one of them is all zero or not finite."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm and np.isfinite(norm) else 0.0


def compare(rknn: Any, model: Path, images: list[Path]) -> float:
    """Cosine of the largest output over all images, simulator against ONNX Runtime.

    The answer to a black image is taken off both first: the part of a detector's boxes that is only its
    grid would otherwise make any two images agree to 0.999.
    """
    if rknn.init_runtime() != 0:
        raise RuntimeError("init_runtime returned an error")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pixels = [cv2.imread(str(image))[..., ::-1][None] for image in images]
    planes = [image.transpose(0, 3, 1, 2).astype(np.float32) / 255 for image in pixels]
    idle = session.run(None, {name: np.zeros_like(planes[0])})
    largest = max(range(len(idle)), key=lambda index: idle[index].size)
    expected = [session.run(None, {name: plane})[largest] - idle[largest] for plane in planes]
    simulated = [rknn.inference([image], data_format=["nhwc"])[largest] - idle[largest] for image in pixels]
    return cosine(np.concatenate(simulated), np.concatenate(expected))


def build(model: Path, chip: str, dtype: str, rules: list[str], images: list[Path], target: Path) -> float:
    """Build and export one cell; its cosine. Raises when a step fails or the file is for another chip."""
    rknn = RKNN()
    name, shape = read_input(model)
    dataset = str(images[0].with_name("dataset.txt"))
    options: dict[str, Any] = {"quantized_dtype": dtype} if dtype != "fp16" else {}
    if rules:
        options["disable_rules"] = rules
    steps: list[tuple[str, Callable[[], int]]] = [
        ("config", lambda: rknn.config([[0] * 3], [[255] * 3], target_platform=chip, **options)),
        ("load_onnx", lambda: rknn.load_onnx(str(model), inputs=[name], input_size_list=[shape])),
        ("build", lambda: rknn.build(do_quantization=dtype != "fp16", dataset=dataset)),
        ("export_rknn", lambda: rknn.export_rknn(str(target))),
    ]
    for call, step in steps:
        code = step()
        if code not in (0, None):
            raise RuntimeError(f"{call} returned {code}")
    platforms = PLATFORM.findall(target.read_bytes())
    if platforms[-1:] != [chip.encode()]:
        raise RuntimeError(f"the file is for {platforms}")
    return compare(rknn, model, images)


def in_child(work: Callable[[], float], log: Path, seconds: int) -> tuple[str, float | None]:
    """Run `work` in a forked child that writes to `log`; its status and its result."""
    answer = log.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        signal.alarm(seconds)
        try:
            answer.write_text(json.dumps(work()))
        except BaseException as error:  # exit() in the vendor's code is an answer too
            os.write(2, f"\n{error}\n".encode())
        ctypes.CDLL(None).fflush(None)  # "No lowering found" waits in the C library's buffer only
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed_by = signal.Signals(os.WTERMSIG(status))
        return ("timeout" if killed_by == signal.SIGALRM else killed_by.name), None
    if not answer.exists():
        return "rejected", None
    result = float(json.loads(answer.read_text()))
    return ("ok" if result >= SANE_COSINE else "insane"), result


def probe(model: Path, chip: str, dtype: str, images: list[Path], logs: Path, seconds: int) -> Cell:
    """Build one cell, following the toolkit's own advice about rules to disable."""
    stem = f"{model.stem}-{chip}-{dtype}"
    log, target = logs / f"{stem}.log", logs / f"{stem}.rknn"
    rules: list[str] = []
    start = time.monotonic()
    for _ in range(MAX_RETRIES):
        status, result = in_child(lambda: build(model, chip, dtype, rules, images, target), log, seconds)
        text = ANSI.sub("", log.read_text(errors="replace"))
        advice = [rule for rule in SUGGESTED_RULE.findall(text) if rule not in rules]
        if status != "rejected" or not advice:
            break
        rules.append(advice[-1])
    target.unlink(missing_ok=True)
    errors = [line.strip() for line in text.replace("\r", "\n").splitlines() if ERROR_LINE.match(line)]
    error = CLOCK.sub("", errors[-1]).replace(chip, "CHIP") if errors else ""
    elapsed = round(time.monotonic() - start, 1)
    return Cell(model.stem, chip, dtype, status, result, elapsed, rules, error)


def table(cells: list[Cell]) -> Iterator[str]:
    """The cells as Markdown: a matrix per model, then each distinct error and the chips that print it."""
    packages = ["rknn-toolkit2", "onnx", "onnxruntime", "torch"]
    yield "# Chips and dtypes: what really builds\n"
    yield ", ".join(f"{name} {version(name)}" for name in packages) + "; by `benchmarks/probe_matrix.py`.\n"
    yield f"- `ok` and `insane` (below {SANE_COSINE}): the cosine of the largest output, simulator against"
    yield "  ONNX Runtime, each less the answer to a black image."
    yield f"- Calibrated with and compared on the same {CALIBRATION_IMAGES} drawn pages of text."
    yield "- `*` needed `disable_rules`; `!` builds, but prints errors."
    yield "- The simulator runs the quantised graph, not the chip's code: (nearly) one number for all chips,"
    yield "  and `ok` is no promise about a board.\n"
    dtypes = list(dict.fromkeys(cell.dtype for cell in cells))
    for model in dict.fromkeys(cell.model for cell in cells):
        yield f"## {model}\n"
        yield "| chip | " + " | ".join(dtypes) + " |"
        yield "|---" * (len(dtypes) + 1) + "|"
        mine = [cell for cell in cells if cell.model == model]
        for chip in dict.fromkeys(cell.chip for cell in mine):
            yield f"| {chip} | " + " | ".join(entry(cell) for cell in mine if cell.chip == chip) + " |"
        yield "\nThe last error each printed:\n"
        chips: dict[tuple[str, str, str], list[str]] = {}
        for cell in mine:
            if cell.error:
                chips.setdefault((cell.dtype, cell.status, cell.error), []).append(cell.chip)
        for (dtype, status, error), names in chips.items():
            yield f"- {dtype} {status} ({', '.join(names)}): `{error}`"
        yield ""


def entry(cell: Cell) -> str:
    """One table entry."""
    number = "" if cell.cosine is None else f" {cell.cosine:.4f}"
    printed = "!" if cell.cosine is not None and cell.error else ""
    return cell.status + number + ("*" if cell.disabled_rules else "") + printed


def main() -> None:
    parser = argparse.ArgumentParser(description="Which chips and dtypes does this toolkit really build?")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--chips", nargs="+", default=CHIPS)
    parser.add_argument("--dtypes", nargs="+", default=DTYPES)
    parser.add_argument("--logs", type=Path, default=Path("probe-logs"), help="for logs and cells.json")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements/chip-dtype-matrix.md"))
    parser.add_argument("--timeout", type=int, default=300, metavar="SECONDS", help="per build")
    options = parser.parse_args()
    cells: list[Cell] = []
    for model in options.models:
        logs = options.logs.absolute()
        _, (_, _, height, width) = read_input(model)
        images = write_calibration(logs / f"{model.stem}-images", height, width)
        for chip in options.chips:
            for dtype in options.dtypes:
                cells.append(probe(model, chip, dtype, images, logs, options.timeout))
                print(*cells[-1], flush=True)
                (logs / "cells.json").write_text(json.dumps([cell._asdict() for cell in cells], indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(table(cells)))


if __name__ == "__main__":
    main()
