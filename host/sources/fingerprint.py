"""The identity of a model's content, cheap enough for a cache look-up: it seldom loads a model library."""

import hashlib
import mmap
from pathlib import Path

from host.sources.recognise import require_file

# protobuf bytes of a StringStringEntryProto with the key "location": every tensor stored outside has one
_EXTERNAL_MARKER = b"\n\x08location\x12"


def raw_fingerprint(path: Path) -> str:
    """SHA-256 (hex) over a model file's bytes and over those of its external data files.

    Raises:
        Fault: model-missing, model-invalid or model-data-missing.
    """
    require_file(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        digest = hashlib.sha256(content)
        external = content.find(_EXTERNAL_MARKER) >= 0
    if external:
        # both import onnx
        from host.sources.external import external_files
        from host.sources.onnx_model import parse

        for data in external_files(parse(path), path.parent):
            with data.open("rb") as file:
                digest.update(data.relative_to(path.parent).as_posix().encode() + b"\0")
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
