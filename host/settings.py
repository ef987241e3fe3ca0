"""The settings of a conversion: what they are called, how their text is read, what they mean."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from host.graph.layouts import HEADS
from shared import chips
from shared.faults import Fault

RESIZES = ("letterbox", "stretch", "crop")
ENGINES = ("auto", "docker", "local")
DARKNET = ("bridge", "native")
ORDERS = ("rgb", "bgr")
"""In which a model takes the colours of images; the first is the default."""
HYBRID_KEY = "customized_quantize_layers"
"""Where the vendor's own file has the layers: what one conversion leaves can be given to the next."""
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Settings:
    """A validated request. Sizes are (width, height) in pixels, mean and std are on the 0-255 scale."""

    chips: tuple[str, ...]
    models: tuple[Path, ...]
    """The model: one file, the files that make it up, a folder or a zip."""
    output: Path | None = None
    dataset: Path | None = None
    max_images: int | None = None
    resize: str = "letterbox"
    dtype: str | None = None
    head: str = "auto"
    labels: Path | None = None
    algorithm: str = "normal"
    size: tuple[int, int] | None = None
    inputs: tuple[str, ...] = ()
    """Names of the tensors that the graph begins with; empty for the file's own inputs."""
    outputs: tuple[str, ...] = ()
    """Names of the tensors that it ends with; empty for the file's own outputs."""
    input_sizes: tuple[tuple[int, ...], ...] = ()
    """Shapes of the inputs, batch included, in the format's order of axes."""
    darknet: str = "bridge"
    trust_pickle: bool = False
    opset: int | None = None
    """Of the ONNX file that `invoke export` writes; None for what the target takes."""
    color: tuple[str, ...] = ()
    """Of ORDERS: one for all inputs that take images in colour, or one for each input."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    toolkit_version: str = ""
    python: str = ""
    variant: str = ""
    engine: str = "auto"
    config: Mapping[str, Any] = field(default_factory=dict)
    hybrid: Mapping[str, str] | None = None
    """Layer -> number format; empty for what the toolkit proposes, None for one format for all."""
    analysis: bool = False
    timeout_s: float = 3600.0
    memory_bytes: int = 8 << 30
    jobs: int = 1
    allow_dead: bool = False
    allow_cpu: bool = False
    cache: bool = True

    @property
    def model(self) -> Path:
        """What the model is called by: the first file that was named."""
        return self.models[0]


class Setting(NamedTuple):
    """One row of the table: where a value comes from and how its text is read."""

    name: str
    field: str
    parse: Callable[[str], Any]
    help: str
    of_model: bool = False
    """Whether the file's value belongs to the file's model and must not serve another one."""


def _text(value: str) -> str:
    return value.strip()


def path(value: str) -> Path:
    """A file or folder; in rkforge.yaml relative to it, elsewhere to the current folder."""
    return Path(value).expanduser()


def files(value: str) -> tuple[Path, ...]:
    """Files of one model, with the system's path separator between them."""
    return tuple(path(part) for part in value.split(os.pathsep) if part)


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _shapes(value: str) -> tuple[tuple[int, ...], ...]:
    texts = [text.strip().lower().split("x") for text in value.split(",")]
    if not all(part.isdigit() and int(part) for text in texts for part in text):
        raise ValueError("a shape for each input, for example 1x3x224x224,1x10")
    return tuple(tuple(map(int, text)) for text in texts)


def _chips(value: str) -> tuple[str, ...]:
    names = [chips.chip(name.strip()).name for name in value.split(",") if name.strip()]
    if not names:
        raise ValueError("a chip name, or several with commas between them")
    return tuple(dict.fromkeys(names))


def _size(value: str) -> tuple[int, int]:
    width, _, height = value.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ValueError("WIDTHxHEIGHT in pixels, for example 640x480")
    return int(width), int(height)


def _numbers(value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise ValueError("numbers with commas between them, for example 0,0,0") from None


def _scales(value: str) -> tuple[float, ...]:
    scales = _numbers(value)
    if 0.0 in scales:
        raise ValueError("numbers other than 0: the image is divided by them")
    return scales


def _count(value: str) -> int:
    if not value.strip().isdigit() or int(value) == 0:
        raise ValueError("a whole number above 0")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ValueError("seconds, more than 0")
    return seconds


def _bytes(value: str) -> int:
    text = value.strip().lower().removesuffix("b").removesuffix("i")
    number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "")
    if unit not in UNITS or not number.replace(".", "", 1).isdigit():
        raise ValueError("a size such as 512m or 4g")
    return int(float(number) * UNITS[unit])


def _flag(value: str) -> bool:
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    if value.strip().lower() not in words:
        raise ValueError("true or false")
    return words[value.strip().lower()]


def _hybrid(value: str) -> dict[str, str]:
    text = value.strip()
    if text == "auto":
        return {}
    try:
        if "=" in text and not text.startswith("{"):
            layers = dict(map(_layer, text.split(",")))
        else:
            layers = yaml.safe_load(text if text.startswith("{") else path(text).read_text(encoding="utf-8"))
            layers = layers.get(HYBRID_KEY, layers)
        if not layers or not all(isinstance(part, str) for row in layers.items() for part in row):
            raise ValueError
    except (AttributeError, OSError, ValueError, yaml.YAMLError):
        raise ValueError("auto, layer=format with commas between several, or a YAML file of them") from None
    return layers


def _layer(text: str) -> tuple[str, str]:
    layer, _, name = text.rpartition("=")
    if not (layer.strip() and name.strip()):
        raise ValueError
    return layer.strip(), name.strip()


def _choice(kind: str, known: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.strip() not in known:
            raise Fault("bad-option", chips.unknown(kind, value.strip(), list(known)))
        return value.strip()

    return parse


def _orders(value: str) -> tuple[str, ...]:
    parse = _choice("order of colours", ORDERS)
    return tuple(parse(name) for name in value.lower().split(","))


def _algorithms() -> str:
    """All that any toolkit has; with the toolkit's name what not every one has."""
    toolkits = chips.toolkits().values()
    having: dict[str, list[str]] = {}
    for toolkit in toolkits:
        for name in toolkit.algorithms:
            having.setdefault(name, []).append(toolkit.package)
    return ", ".join(
        name if len(packages) == len(toolkits) else f"{name} ({', '.join(packages)})"
        for name, packages in having.items()
    )


SETTINGS = (
    Setting("chip", "chips", _chips, "target chip, or several: rk3588,rv1106 (see `invoke chips`)"),
    Setting(
        "model",
        "models",
        files,
        "the model, in any format of docs/formats.md; repeat it for further files of the same model",
        True,
    ),
    Setting(
        "output",
        "output",
        path,
        "a folder, or the .rknn file to write; default out/<model>/<chip>-<dtype>",
        True,
    ),
    Setting(
        "dataset", "dataset", path, "calibration images: a folder, or a text file with one path a line", True
    ),
    Setting("max-images", "max_images", _count, "calibrate with at most this many images", True),
    Setting(
        "resize",
        "resize",
        _choice("resize", RESIZES),
        "how images get to the input size: letterbox, stretch, crop",
        True,
    ),
    Setting(
        "dtype", "dtype", _text, "int8, fp16 or a vendor dtype; default int8 with a dataset, else fp16", True
    ),
    Setting(
        "head",
        "head",
        _choice("head", HEADS),
        f"which outputs a detector gets: {', '.join(HEADS)}; auto keeps its accuracy (docs/decode.md)",
        True,
    ),
    Setting(
        "labels", "labels", path, "class names, a text file with one a line; default those in the model", True
    ),
    Setting("algorithm", "algorithm", _text, f"calibration algorithm: {_algorithms()}", True),
    Setting(
        "hybrid",
        "hybrid",
        _hybrid,
        "layers with a number format of their own: layer=format,..., a YAML file of them, or auto",
        True,
    ),
    Setting("size", "size", _size, "input size WIDTHxHEIGHT, for models with a dynamic one", True),
    Setting(
        "opset",
        "opset",
        _count,
        "of the ONNX file, for `invoke export` only; default the highest that the target takes",
        True,
    ),
    Setting("inputs", "inputs", _names, "tensors that the graph begins with, by name: a,b", True),
    Setting("outputs", "outputs", _names, "tensors that the graph ends with, by name: a,b", True),
    Setting(
        "input-sizes",
        "input_sizes",
        _shapes,
        "shapes of the inputs, batch included, as the format has them: 1x3x224x224,1x10",
        True,
    ),
    Setting("darknet", "darknet", _choice("way", DARKNET), "bridge (through ONNX) or native", True),
    Setting(
        "trust-pickle",
        "trust_pickle",
        _flag,
        "load a checkpoint whatever code it holds; only if you trust where it comes from",
        True,
    ),
    Setting(
        "color",
        "color",
        _orders,
        "order of colours that the model takes: rgb (default) or bgr; or one for each input: rgb,bgr",
        True,
    ),
    Setting("mean", "mean", _numbers, "subtracted from each channel, 0-255 scale; default 0", True),
    Setting("std", "std", _scales, "each channel is divided by it, 0-255 scale; default 255", True),
    Setting("toolkit-version", "toolkit_version", _text, "version of the chip's toolkit; default the newest"),
    Setting("python", "python", _text, "Python of the toolkit's environment, for example 3.11"),
    Setting(
        "variant", "variant", _text, "of the environment, for example slim; default what the model needs"
    ),
    Setting("engine", "engine", _choice("engine", ENGINES), "auto, docker or local"),
    Setting("timeout", "timeout_s", _seconds, "stop a job after this many seconds; default 3600"),
    Setting("memory", "memory_bytes", _bytes, "memory of one job, for example 4g; default 8g"),
    Setting("jobs", "jobs", _count, "how many conversions run at once; default 1"),
    Setting("analysis", "analysis", _flag, "also write the toolkit's own layer-by-layer error analysis"),
    Setting("allow-dead", "allow_dead", _flag, "keep the result although an output is dead"),
    Setting(
        "allow-cpu", "allow_cpu", _flag, "keep the result although the board's CPU cannot run some operators"
    ),
    Setting(
        "cache", "cache", _flag, "take the stored result of the same conversion; --no-cache converts anew"
    ),
)
