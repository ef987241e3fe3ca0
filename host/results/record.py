"""rknn_source.yaml: how a file was made, complete enough to make it again and compare."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.faults import Fault

FORMAT = 1
NAME = "rknn_source.yaml"


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
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise Fault("record-invalid", f"cannot read {path}: {' '.join(str(error).split())}") from None
    needed = ("request", "model", "artifact")
    if (
        not isinstance(content, dict)
        or content.get("rknn_source") != FORMAT
        or not set(needed) <= set(content)
    ):
        raise Fault("record-invalid", f"{path} is not a record of a conversion")
    return content


def beside(artifact: Path, sha256: str) -> tuple[Path, dict[str, Any]] | None:
    """The record that lies beside an artefact and is of these bytes: where, and what it says."""
    for path in (artifact.with_name(f"{artifact.stem}.{NAME}"), artifact.with_name(NAME)):
        try:
            content = read(path)
        except Fault:
            continue
        if content["artifact"].get("sha256") == sha256:
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
