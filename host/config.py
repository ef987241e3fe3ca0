"""What the user asked for: settings read from flags, environment, rkforge.yaml and defaults.

Flags win over the environment, that over the file, that over the defaults. Every mistake is found
before any work begins, and all are reported together.
"""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from host.settings import SETTINGS, Settings, files, path
from shared import chips
from shared.faults import Fault
from shared.text import one_line

FILE = "rkforge.yaml"
ENVIRONMENT_PREFIX = "RKFORGE_"
OWN_FLAG = {
    "target_platform": "--chip",
    "mean_values": "--mean",
    "std_values": "--std",
    "quantized_algorithm": "--algorithm",
    **{toolkit.colours.option: "--color" for toolkit in chips.toolkits().values()},
}
"""Option of a toolkit's config() -> the flag that is the one way to say it."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
"""Type of an option's default -> what is expected instead of a value of another type."""


def resolve(
    flags: Mapping[str, Any],
    changes: list[str],
    folder: Path,
    environ: Mapping[str, str],
    chipless: bool = False,
) -> Settings:
    """The settings for one call of a task.

    Args:
        flags: setting name -> text, or None where the flag was not given.
        changes: the texts of --set, each "key=value".
        folder: where rkforge.yaml is looked for; its paths are relative to it.
        environ: the process environment.
        chipless: whether the task needs no chip.

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
                problems.append(Fault(fault.code, f"{source}: {fault.message}", fault.hint))
            except ValueError as error:
                problems.append(Fault("bad-option", f"{source} {text!r}: expected {error}"))
    named = _changes(changes, given.get("set"), problems)
    if chipless:
        values.setdefault("chips", ())
    if "chips" not in values and "chip" not in given:
        problems.append(
            Fault("bad-option", "no chip given", "Name the target: --chip rk3588 (see `invoke chips`).")
        )
    if not values.get("models"):
        problems.append(
            Fault("model-missing", "no model given", f"Use --model FILE, or write `model:` in {FILE}.")
        )
    problems += [
        Fault("model-missing", f"model {one} does not exist")
        for one in values.get("models", ())
        if not (one.exists() or one.with_name(f"{one.name}.index").exists())  # TensorFlow's checkpoints
    ]
    if "dataset" in values and not values["dataset"].exists():
        problems.append(Fault("dataset-missing", f"dataset {values['dataset']} does not exist"))
    if "labels" in values and not values["labels"].is_file():
        problems.append(Fault("bad-option", f"labels: there is no file {values['labels']}"))
    named_chips = [chips.chip(name) for name in values.get("chips", ())]
    for chip in named_chips:
        problems += _check_chip(chip, values)
    toolkits = {chip.toolkit.name: chip.toolkit for chip in named_chips} or chips.toolkits()
    for toolkit in toolkits.values():
        problems += _check_toolkit(toolkit, values, named)
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
    for key, value in _read_file(folder / FILE).items():
        if key not in (*known, "set"):
            problems.append(Fault("bad-option", f"{FILE}: {chips.unknown('key', str(key), known)}"))
            continue
        row = next((setting for setting in SETTINGS if setting.name == key), None)
        if other_model and (row is None or row.of_model):
            continue
        text = _text(value)
        if row is not None and row.parse is path:
            text = str(folder / text)
        elif row is not None and row.parse is files:
            named = value if isinstance(value, list) else text.split(os.pathsep)
            text = os.pathsep.join(str(folder / str(each)) for each in named)
        given.setdefault(key, (yaml.safe_dump(value) if row is None else text, f"{FILE}: {key}"))
    return given


def _text(value: Any) -> str:
    """What the file writes as a list or mapping, as one text that a flag could be."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _read_file(file: Path) -> dict[str, Any]:
    """The file's settings as they are written, so that 3.10 stays 3.10; only `set` has YAML's types.

    Raises:
        Fault: bad-option for a file that cannot be read, alone: what else is wrong depends on its content.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.load(text, yaml.BaseLoader) or {}  # builds nothing but text, lists and mappings
        if isinstance(content, dict) and "set" in content:
            content["set"] = yaml.safe_load(text)["set"]
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise Fault("bad-option", f"cannot read {file}: {one_line(error)}", "Correct the file.") from None
    if not isinstance(content, dict):
        raise Fault("bad-option", f"{file} must be a mapping of settings to values", "Correct the file.")
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


def spelled(named: Mapping[str, Any]) -> list[str]:
    """Toolkit options as texts of --set, which are read as the same values."""
    return [f"{key}={yaml.safe_dump(value)}" for key, value in named.items()]


def unknown(given: Mapping[str, tuple[str, Collection[str]]]) -> list[Fault]:
    """What is none of its choices, of settings (name -> value, choices); empty values are not given."""
    return [
        Fault("bad-option", f"--{name}: " + chips.unknown(name, value, list(choices)))
        for name, (value, choices) in given.items()
        if value and value not in choices
    ]


def _check_chip(chip: chips.Chip, values: Mapping[str, Any]) -> list[Fault]:
    """What a chip refuses of the settings."""
    checks: list[Callable[[], object]] = [lambda: chips.version(chip, values.get("toolkit_version", ""))]
    if values.get("dtype"):
        checks.append(lambda: chips.dtype(chip, values["dtype"]))
    problems = []
    for check in checks:
        try:
            check()
        except Fault as fault:
            problems.append(fault)
    return problems


def _check_toolkit(
    toolkit: chips.Toolkit, values: Mapping[str, Any], named: Mapping[str, Any]
) -> list[Fault]:
    """What a toolkit refuses of the settings, whatever the chip."""
    variant = values.get("variant", "")
    known = {
        "algorithm": toolkit.algorithms,
        "python": chips.pythons(toolkit, variant if variant in toolkit.variants else ""),
        "variant": [*toolkit.variants],
    }
    problems = unknown({name: (values.get(name, ""), choices) for name, choices in known.items()})
    if values.get("hybrid") is not None:
        problems += _check_hybrid(toolkit, values["hybrid"])
    return problems + _check_config(toolkit, values.get("toolkit_version", ""), named)


def _check_hybrid(toolkit: chips.Toolkit, layers: Mapping[str, str]) -> list[Fault]:
    if toolkit.hybrid:
        return [
            Fault("bad-option", "--hybrid: " + chips.unknown("number format", name, list(toolkit.hybrid)))
            for name in dict.fromkeys(layers.values())
            if name not in toolkit.hybrid
        ]
    able = [chip for chip in chips.chips().values() if chip.toolkit.hybrid]
    packages = " and ".join(dict.fromkeys(chip.toolkit.package for chip in able))
    return [
        Fault(
            "dtype-unsupported",
            f"--hybrid: rkforge offers no number formats for single layers with {toolkit.package}",
            f"{packages} has it: {', '.join(chip.name for chip in able)}.",
        )
    ]


def _check_config(toolkit: chips.Toolkit, version: str, named: Mapping[str, Any]) -> list[Fault]:
    keys = toolkit.config_keys.get(version or toolkit.versions[0], {})
    option = f"option of {toolkit.package}"
    problems = []
    for key, value in named.items():
        if key in OWN_FLAG:
            problems.append(Fault("bad-option", f"--set {key}: use {OWN_FLAG[key]}"))
        elif key not in keys:
            problems.append(Fault("bad-option", f"--set {key}: " + chips.unknown(option, key, sorted(keys))))
        elif not _fits(value, keys[key]):
            problems.append(Fault("bad-option", f"--set {key}={value}: expected {KINDS[type(keys[key])]}"))
        elif value not in toolkit.choices.get(key, [value]):
            allowed = ", ".join(map(str, toolkit.choices[key]))
            problems.append(Fault("bad-option", f"--set {key}={value}: choose from {allowed}"))
    return problems


def _fits(value: Any, default: Any) -> bool:
    """Whether a value has the type of the option's default; one without a default takes any."""
    if default is None or type(value) is type(default):
        return True
    return type(default) is float and type(value) is int
