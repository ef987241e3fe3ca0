"""Which files a calibration set consists of, and its identity.

The vendor's reader takes a comment for a file, splits paths at spaces and stops at the first missing
image halfway through a build; here every list is read leniently and all mistakes are named at once.
On the cache's path: imports neither numpy nor Pillow.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from host.sources.fingerprint import file_digest
from shared.faults import Fault

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
ARRAY = ".npy"
_SUPPORTED = (*IMAGES, ARRAY)
_NAMED_AT_MOST = 10


def find_images(dataset: Path) -> list[Path]:
    """The files of a calibration set, each once.

    Args:
        dataset: a folder (every image and .npy file in it and below, ordered by relative path; hidden
            files are left out) or a UTF-8 list file (one path a line, relative to the list, in the list's
            order; blank lines and lines that begin with # are skipped, quotes around a path are dropped).

    Raises:
        Fault: dataset-missing, dataset-empty, or dataset-invalid naming every missing or unsupported file.
    """
    if not dataset.exists():
        raise Fault("dataset-missing", f"There is no dataset {dataset}.")
    images = _in_folder(dataset) if dataset.is_dir() else _in_list(dataset)
    bad = [(image, reason) for image in images if (reason := _unusable(image))]
    if bad:
        raise bad_files(bad, len(images))
    return images


def fingerprint(dataset: Path) -> str:
    """SHA-256 (hex) over the relative name and the content of every file, in order.

    Raises:
        Fault: as `find_images`.
    """
    images = find_images(dataset)
    base = dataset if dataset.is_dir() else dataset.parent
    digest = hashlib.sha256()
    with ThreadPoolExecutor() as pool:  # hashlib lets other threads run
        for image, content in zip(images, pool.map(file_digest, images), strict=True):
            name = Path(os.path.relpath(image, base)).as_posix()
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()


def bad_files(bad: Sequence[tuple[Path, str]], total: int) -> Fault:
    """One fault for all unusable files: the first ten with their reason, and how many there are."""
    named = "; ".join(f"{path} ({reason})" for path, reason in bad[:_NAMED_AT_MOST])
    more = f"; and {len(bad) - _NAMED_AT_MOST} more" if len(bad) > _NAMED_AT_MOST else ""
    return Fault("dataset-invalid", f"{len(bad)} of {total} calibration files cannot be used: {named}{more}.")


def _in_folder(folder: Path) -> list[Path]:
    files = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    seen = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    images = [path for path in seen if path.suffix.lower() in _SUPPORTED]
    if not images:
        kinds = ", ".join(sorted({path.suffix.lower() or "no extension" for path in seen}))
        others = (
            f": only {len(seen)} other file{'s' * (len(seen) > 1)} ({kinds})" if seen else ": it is empty"
        )
        raise Fault("dataset-empty", f"{folder} holds no image ({' '.join(IMAGES)}){others}")
    return [folder / path for path in sorted(images, key=lambda path: path.as_posix())]


def _in_list(file: Path) -> list[Path]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Fault(
            "dataset-invalid",
            f"{file} is neither a folder nor a list in UTF-8.",
            "Give a folder with images, or a text file with one image path per line, saved as UTF-8.",
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    images = [_path(line, file) for line in lines if line and not line.startswith("#")]
    if not images:
        raise Fault("dataset-empty", f"{file} names no image.")
    return list(dict.fromkeys(images))


def _path(line: str, file: Path) -> Path:
    path = file.parent / line
    if path.exists():
        return path
    if line[0] == line[-1] and line[0] in "'\"":
        return file.parent / line[1:-1]
    parts = line.split()
    if len(parts) > 1 and all((file.parent / part).is_file() for part in parts):
        raise Fault(
            "dataset-invalid",
            f"{file} names {len(parts)} files in one line ({line}): "
            "calibration of models with several inputs is not supported yet.",
            "Give one image path per line for a model with one input, or leave --dataset out.",
        )
    return path


def _unusable(path: Path) -> str:
    if not path.is_file():
        return "missing" if not path.exists() else "a folder"
    if path.suffix.lower() not in _SUPPORTED:
        return f"not one of {' '.join(_SUPPORTED)}"
    return "" if path.stat().st_size else "empty"
