"""Results by what they were made from: the same request again is answered with the stored files.

An entry is a folder named by its key; it appears by a rename and is never changed afterwards.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host import paths


def key(parts: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over everything that decides a result, as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def folder() -> Path:
    """Where the results lie."""
    return paths.cache() / "results"


def find(name: str) -> Path | None:
    """The folder of a stored result, or None."""
    entry = folder() / name
    return entry if entry.is_dir() else None


def remove(name: str) -> None:
    """Forget a result."""
    shutil.rmtree(folder() / name, ignore_errors=True)


def store(name: str, files: Mapping[str, Path]) -> None:
    """Keep copies of `files` (name in the entry -> file) under a key; the first to store wins."""
    folder().mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="new-", dir=folder()))
    try:
        for file, source in files.items():
            shutil.copyfile(source, aside / file)
        aside.rename(folder() / name)
    except OSError:
        if not (folder() / name).is_dir():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
