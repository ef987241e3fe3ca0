"""A copy of the checkout whose vendor's wheel is another: how tests get a toolkit that they cannot download.

The product has no switch that leaves a checksum out, so the copy's wheels.lock names the other wheel instead.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from images import wheel
from shared import chips
from tests.conftest import ROOT

NOWHERE = "https://vendor.invalid/packages.tar.gz"
"""A name that no network resolves."""


def copy(folder: Path, toolkit: str, brought: Path) -> Path:
    """Copy the checkout, changes included, to `folder`, with `brought` as the toolkit's wheel on all Pythons.

    Run it with `tests.conftest.command(folder, environment, root=<what this returns>)`.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a removed file stays listed until the commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    images = folder / "images" / toolkit
    write_lock(images, toolkit, brought)
    shutil.copy(brought, images / "wheels")
    return folder


def write_lock(images: Path, toolkit: str, brought: Path, archive: str = NOWHERE, md5: str = "") -> None:
    """Make images/<toolkit>/wheels.lock name this wheel for every version and Python, and this archive."""
    named = {"file": brought.name, "md5": hashlib.md5(brought.read_bytes()).hexdigest()}
    known = chips.toolkit(toolkit)
    wheels = dict.fromkeys(chips.pythons(known), named)
    lock = {version: {"archive": archive, "md5": md5, "wheels": wheels} for version in known.versions}
    (images / wheel.LOCK).write_text(json.dumps(lock))
