"""rknn_source.yaml: how a file was made, complete enough to make it again and compare."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.faults import Fault
from shared.text import one_line

FORMAT = 1
NAME = "rknn_source.yaml"
_MAYBE = type(None)
_TENSORS = [{"name": str, "shape": list, "dtype": str}]
_NEEDED = {
    "request": {
        **{"chip": str, "dtype": str, "model": (str, [str]), "set": dict},
        **dict.fromkeys(("dataset", "labels"), (str, _MAYBE)),
    },
    "model": {"sha256": str, "inputs": _TENSORS, "outputs": _TENSORS},
    **{name: {"sha256": (str, _MAYBE)} for name in ("calibration", "labels")},
    "toolkit": {"name": str, "version": str},
    "artifact": {"sha256": str, "size": int, "canonical_digest": (str, _MAYBE)},
    "environment": dict,
    "documents": (dict, _MAYBE),
}
"""What is read of a record, by its types: of a mapping each entry, of a list all, of several any one."""


def dump(record: Mapping[str, Any]) -> str:
    """The record as YAML, in the order it was made."""
    text: str = yaml.safe_dump(
        {"rknn_source": FORMAT, **record}, sort_keys=False, allow_unicode=True, width=100
    )
    return text


def read(path: Path) -> dict[str, Any]:
    """A record that `dump` wrote; Fault record-invalid for anything else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Fault("record-invalid", f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Fault("record-invalid", f"cannot read {path}: {one_line(error)}") from None
    if not isinstance(content, dict) or content.get("rknn_source") != FORMAT:
        raise Fault("record-invalid", f"{path} is not a record of a conversion")
    if place := _unlike(content, _NEEDED):
        raise Fault(
            "record-invalid", f"{path} was changed or damaged: {place} is not what a record has there"
        )
    return content


def documents(path: Path) -> dict[str, str]:
    """The further files of a conversion (name -> SHA-256) that a record names; none without a record."""
    try:
        named = read(path).get("documents") or {}
    except Fault:
        return {}
    return {name: sha256 for name, sha256 in named.items() if Path(str(name)).name == name}


def _unlike(value: Any, needed: Any, place: str = "") -> str:
    """The first place where a value is not of the types that are needed; empty where there is none."""
    if isinstance(needed, tuple):
        return "" if any(not _unlike(value, each, place) for each in needed) else place
    kind: Any = needed if isinstance(needed, type) else type(needed)
    if not isinstance(value, kind):
        return place
    inner: Iterable[tuple[Any, Any, str]] = ()
    if isinstance(needed, dict):
        inner = ((value.get(key), each, f"{place}.{key}".strip(".")) for key, each in needed.items())
    elif isinstance(needed, list):
        inner = ((each, needed[0], f"{place}[{number}]") for number, each in enumerate(value))
    return next(filter(None, (_unlike(*each) for each in inner)), "")


def beside(artifact: Path, sha256: str) -> tuple[Path, dict[str, Any]] | None:
    """The record that lies beside an artefact and is of these bytes: where, and what it says."""
    for path in (artifact.with_name(f"{artifact.stem}.{NAME}"), artifact.with_name(NAME)):
        try:
            content = read(path)
        except Fault:
            continue
        if content["artifact"]["sha256"] == sha256:
            return path, content
    return None


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from the record's folder, so that both can move together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines "name: recorded -> now" for all that two records do not share."""
    lines = []
    for name in dict.fromkeys((*recorded, *now)):
        before, after = recorded.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            lines.append(f"{prefix}{name}: {before} -> {after}")
    return lines
