"""What the user asked for: one table of settings, read from flags, environment, rkforge.yaml and defaults.

Flags win over the environment, that over the file, that over the defaults. Every mistake is found
before any work begins, and all are reported together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared import chips
from shared.faults import Fault

FILE = "rkforge.yaml"
ENVIRONMENT_PREFIX = "RKFORGE_"
RESIZES = ("letterbox", "stretch", "crop")
ENGINES = ("auto", "docker", "local")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
OWN_FLAG = {"target_platform": "--chip", "mean_values": "--mean", "std_values": "--std"}
CHOICES: dict[str, tuple[Any, ...]] = {
    "quantized_method": ("layer", "channel", *(f"group{size}" for size in range(32, 257, 32))),
    "quantized_algorithm": ("normal", "mmse", "kl_divergence", "gdq"),
    "optimization_level": (0, 1, 2, 3),
    "quantized_hybrid_level": (0, 1, 2, 3),
    "float_dtype": ("float16", "bfloat16", "tfloat32"),
    "memory_plan_strategy": ("BestFit", "GreedyBySize", "GreedyByLifetime", "SlowPeakGrowth"),
    "compute_order": ("WidthFirst", "DepthFirst"),
}
"""Values of `config` that the toolkit accepts silently although it knows only these."""


@dataclass(frozen=True)
class Settings:
    """A validated request. Sizes are (width, height) in pixels, mean and std are on the 0-255 scale."""

    chips: tuple[str, ...]
    model: Path
    output: Path | None = None
    dataset: Path | None = None
    max_images: int | None = None
    resize: str = "letterbox"
    dtype: str | None = None
    algorithm: str = "normal"
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (255.0, 255.0, 255.0)
    toolkit_version: str = ""
    python: str = ""
    variant: str = ""
    engine: str = "auto"
    config: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 3600.0
    memory_bytes: int = 8 << 30
    jobs: int = 1
    allow_dead: bool = False
    cache: bool = True


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


def _path(value: str) -> Path:
    return Path(value).expanduser()


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


def _choice(kind: str, known: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.strip() not in known:
            raise ValueError(chips.unknown(kind, value.strip(), list(known)))
        return value.strip()

    return parse


SETTINGS = (
    Setting("chip", "chips", _chips, "target chip, or several: rk3588,rv1106 (see `invoke chips`)"),
    Setting("model", "model", _path, "the ONNX model; default: what rkforge.yaml names", True),
    Setting(
        "output",
        "output",
        _path,
        "a folder, or the .rknn file to write; default out/<model>/<chip>-<dtype>",
        True,
    ),
    Setting(
        "dataset", "dataset", _path, "calibration images: a folder, or a text file with one path a line", True
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
    Setting("algorithm", "algorithm", _text, "calibration algorithm: normal, mmse, kl_divergence", True),
    Setting("size", "size", _size, "input size WIDTHxHEIGHT, for models with a dynamic one", True),
    Setting("mean", "mean", _numbers, "subtracted from each channel, 0-255 scale; default 0,0,0", True),
    Setting("std", "std", _scales, "each channel is divided by it, 0-255 scale; default 255,255,255", True),
    Setting("toolkit-version", "toolkit_version", _text, "version of the chip's toolkit; default the newest"),
    Setting("python", "python", _text, "Python of the toolkit's environment, for example 3.11"),
    Setting("variant", "variant", _text, "full, or slim (smaller image without PyTorch)"),
    Setting("engine", "engine", _choice("engine", ENGINES), "auto, docker or local"),
    Setting("timeout", "timeout_s", _seconds, "stop a job after this many seconds; default 3600"),
    Setting("memory", "memory_bytes", _bytes, "memory of one job, for example 4g; default 8g"),
    Setting("jobs", "jobs", _count, "how many conversions run at once; default 1"),
    Setting("allow-dead", "allow_dead", _flag, "keep the result although an output is dead"),
    Setting(
        "cache", "cache", _flag, "take the stored result of the same conversion; --no-cache converts anew"
    ),
)


def resolve(
    flags: Mapping[str, Any], changes: list[str], folder: Path, environ: Mapping[str, str]
) -> Settings:
    """The settings for one `convert` call.

    Args:
        flags: setting name -> text, or None where the flag was not given.
        changes: the texts of --set, each "key=value".
        folder: where rkforge.yaml is looked for; its paths are relative to it.
        environ: the process environment.

    Raises:
        Fault: one that lists every mistake.
    """
    problems: list[Fault] = []
    given = _layers(flags, folder, environ, problems)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.name in given:
            text, source = given[setting.name]
            try:
                values[setting.field] = setting.parse(text)
            except Fault as fault:
                problems.append(fault)
            except ValueError as error:
                problems.append(Fault("bad-option", f"{source} {text!r}: expected {error}"))
    named = _changes(changes, given.get("set"), problems)
    if "chips" not in values and "chip" not in given:
        problems.append(
            Fault("bad-option", "no chip given", "Name the target: --chip rk3588 (see `invoke chips`).")
        )
    if "model" not in values:
        problems.append(
            Fault("model-missing", "no model given", f"Use --model FILE, or write `model:` in {FILE}.")
        )
    elif not values["model"].exists():
        problems.append(Fault("model-missing", f"model {values['model']} does not exist"))
    if "dataset" in values and not values["dataset"].exists():
        problems.append(Fault("dataset-missing", f"dataset {values['dataset']} does not exist"))
    for name in values.get("chips", ()):
        problems += _check_chip(chips.chip(name), values, named)
    if len(values.get("chips", ())) > 1 and values.get("output", Path()).suffix == ".rknn":
        problems.append(
            Fault(
                "output-invalid", "one .rknn file cannot hold several chips", "Name a folder with --output."
            )
        )
    if problems:
        raise together(problems)
    return Settings(config=named, **values)


def together(problems: list[Fault]) -> Fault:
    """One fault for several mistakes: every message with its hint, the first one's code."""
    unique = list({fault.message: fault for fault in problems}.values())
    if len(unique) == 1:
        return unique[0]
    lines = [f"{fault.message}  ({fault.hint})" for fault in unique]
    return Fault(
        unique[0].code, f"{len(unique)} mistakes:\n  " + "\n  ".join(lines), "Correct them and run again."
    )


def _layers(
    flags: Mapping[str, Any], folder: Path, environ: Mapping[str, str], problems: list[Fault]
) -> dict[str, tuple[str, str]]:
    """Setting name -> (text, where it came from), the strongest source only."""
    given = {
        setting.name: (str(flags[setting.name]), f"--{setting.name}")
        for setting in SETTINGS
        if flags.get(setting.name) is not None
    }
    for setting in SETTINGS:
        variable = ENVIRONMENT_PREFIX + setting.name.replace("-", "_").upper()
        if variable in environ:
            given.setdefault(setting.name, (environ[variable], variable))
    other_model = "model" in given
    known = [setting.name for setting in SETTINGS]
    for key, value in _read_file(folder / FILE, problems).items():
        if key not in (*known, "set"):
            problems.append(Fault("bad-option", f"{FILE}: {chips.unknown('key', str(key), known)}"))
            continue
        row = next((setting for setting in SETTINGS if setting.name == key), None)
        if other_model and (row is None or row.of_model):
            continue
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if row is not None and row.parse is _path:
            text = str(folder / text)
        given.setdefault(key, (yaml.safe_dump(value) if row is None else text, f"{FILE}: {key}"))
    return given


def _read_file(path: Path, problems: list[Fault]) -> dict[str, Any]:
    """The file's settings as they are written, so that 3.10 stays 3.10; only `set` has YAML's types."""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, yaml.BaseLoader) or {}  # builds nothing but text, lists and mappings
        if isinstance(content, dict) and "set" in content:
            content["set"] = yaml.safe_load(text)["set"]
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        problems.append(Fault("bad-option", f"cannot read {path}: {' '.join(str(error).split())}"))
        return {}
    if not isinstance(content, dict):
        problems.append(Fault("bad-option", f"{path} must be a mapping of settings to values"))
        return {}
    return {key: value for key, value in content.items() if value not in ("", None)}


def _changes(texts: list[str], from_file: tuple[str, str] | None, problems: list[Fault]) -> dict[str, Any]:
    """The toolkit options of --set and of the file's `set:` mapping; --set wins."""
    named: dict[str, Any] = {}
    if from_file is not None:
        mapping = yaml.safe_load(from_file[0])
        if isinstance(mapping, dict):
            named.update(mapping)
        else:
            problems.append(Fault("bad-option", f"{FILE}: set must be a mapping of toolkit options"))
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            problems.append(Fault("bad-option", f"--set {text!r}: expected key=value"))
            continue
        try:
            named[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(Fault("bad-option", f"--set {text!r}: the value is not readable as YAML"))
    return named


def _check_chip(chip: chips.Chip, values: Mapping[str, Any], named: Mapping[str, Any]) -> list[Fault]:
    """What a chip and its toolkit refuse of the settings."""
    problems = []
    toolkit = chip.toolkit
    if not toolkit.driver:
        return [
            Fault(
                "toolkit-unavailable",
                f"{chip.name} needs {toolkit.package} {toolkit.versions[0]}, which rkforge cannot drive yet",
            )
        ]
    checks: list[Callable[[], object]] = [lambda: chips.version(chip, values.get("toolkit_version", ""))]
    if values.get("dtype"):
        checks.append(lambda: chips.dtype(chip, values["dtype"]))
    for check in checks:
        try:
            check()
        except Fault as fault:
            problems.append(fault)
    known = {"algorithm": toolkit.algorithms, "python": toolkit.pythons, "variant": toolkit.variants}
    for name, choices in known.items():
        if values.get(name) and values[name] not in choices:
            problems.append(
                Fault("bad-option", f"--{name}: " + chips.unknown(name, values[name], list(choices)))
            )
    return problems + _check_config(toolkit, values.get("toolkit_version", ""), named)


def _check_config(toolkit: chips.Toolkit, version: str, named: Mapping[str, Any]) -> list[Fault]:
    keys = toolkit.config_keys.get(version or toolkit.versions[0], {})
    problems = []
    for key, value in named.items():
        if key in OWN_FLAG:
            problems.append(Fault("bad-option", f"--set {key}: use {OWN_FLAG[key]}"))
        elif key not in keys:
            problems.append(
                Fault("bad-option", f"--set {key}: " + chips.unknown("toolkit option", key, sorted(keys)))
            )
        elif key in CHOICES and value not in CHOICES[key]:
            allowed = ", ".join(map(str, CHOICES[key]))
            problems.append(Fault("bad-option", f"--set {key}={value}: choose from {allowed}"))
        elif isinstance(keys[key], bool) and not isinstance(value, bool):
            problems.append(Fault("bad-option", f"--set {key}={value}: expected true or false"))
    return problems
