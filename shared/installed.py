"""What a result depends on besides the job. Python 3.6 has no importlib.metadata."""

import glob
import os
import sys
from email.parser import Parser
from typing import Any, Dict, List

METADATA = ("*.dist-info/METADATA", "*.egg-info/PKG-INFO")
VENDORED = "_vendor"
"""The folder of copies that setuptools keeps for itself, and puts on the path."""


def environment() -> Dict[str, Any]:
    """The interpreter and the installed packages."""
    packages: Dict[str, str] = {}
    for path in sorted(path for kind in METADATA for path in _found(kind)):
        with open(path, encoding="utf-8", errors="replace") as stream:
            metadata = Parser().parse(stream, headersonly=True)
        packages[str(metadata["Name"]).lower()] = str(metadata["Version"])
    return {"python": sys.version.split()[0], "packages": dict(sorted(packages.items()))}


def _found(kind: str) -> List[str]:
    folders = [glob.escape(folder) for folder in sys.path if os.path.basename(folder) != VENDORED]
    return [path for folder in folders for path in glob.glob(os.path.join(folder, kind))]
