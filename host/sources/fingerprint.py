"""The identity of a model's content, cheap enough for a cache look-up: it seldom loads a model library."""

import hashlib
from pathlib import Path

from host.sources.parts import files_of
from host.sources.source import Source


def fingerprint(source: Source) -> str:
    """SHA-256 (hex) over a model: of a single file or archive its own, else over names and hashes of all.

    Raises:
        Fault: model-invalid or model-data-missing where an ONNX model's external data cannot be read.
    """
    digests = {name: file_digest(path) for name, path in files_of(source).items()}
    if len(digests) == 1:
        return next(iter(digests.values())).hex()
    total = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        total.update(name.encode() + b"\0" + digest)
    return total.hexdigest()


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's bytes, which need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
