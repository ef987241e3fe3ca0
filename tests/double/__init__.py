"""A stand-in for rknn-toolkit 1.7.5, which the project's tests do not have: the wheel of tests/double/rknn.

It behaves as the vendor's documentation says, and strictly: what is not documented is refused. It converts
nothing, and its output, version and log say so.
"""

import base64
import hashlib
import zipfile
from pathlib import Path

VERSION = "1.7.5+double"
DIST_INFO = f"rknn_toolkit-{VERSION}.dist-info"
METADATA = f"""Metadata-Version: 2.1
Name: rknn-toolkit
Version: {VERSION}
Summary: NOT Rockchip's rknn-toolkit: a stand-in for rkforge's tests, which converts nothing
"""
WHEEL = """Wheel-Version: 1.0
Generator: rkforge tests
Root-Is-Purelib: true
Tag: py3-none-any
"""


def build_wheel(folder: Path) -> Path:
    """Write the wheel to `folder`; the same bytes every time."""
    here = Path(__file__).resolve().parent
    files = {path.relative_to(here).as_posix(): path.read_bytes() for path in here.glob("rknn/**/*.py")}
    files[f"{DIST_INFO}/METADATA"] = METADATA.encode()
    files[f"{DIST_INFO}/WHEEL"] = WHEEL.encode()
    record = f"{DIST_INFO}/RECORD"
    lines = [f"{name},{_hash(data)},{len(data)}\n" for name, data in sorted(files.items())]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    wheel = folder / f"rknn_toolkit-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return wheel


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
