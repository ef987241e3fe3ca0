"""Write locks/ again from the .in files: `python -m images.toolkit2.relock [--upgrade]`, with uv installed.

Pins that still fit stay as they are, unless --upgrade is given. A lock that cannot be made (PyTorch's
index may be out of reach) stays as it was, and uv says why.
"""

import json
import subprocess
import sys
from pathlib import Path

from images.toolkit2 import install

TABLE = install.HERE.parents[1] / "shared" / "toolkits.json"
UV = (sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate")
TARGET = ("--python-platform", "x86_64-manylinux_2_28", "--generate-hashes", "--only-binary", ":all:")


def compile_lock(lock: Path, python: str, requirements: str, *options: str) -> bool:
    """Resolve `requirements` (the text of a .in file) for this Python into `lock`; False if that fails."""
    command = [*UV, *TARGET, "--python-version", python, *options, "-o", str(lock), "-"]
    done = subprocess.run(command, input=requirements, text=True, stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def main(options: list[str]) -> int:
    """Write every lock that can be made; 1 if one could not."""
    table = json.loads(TABLE.read_text())["toolkits"]["toolkit2"]
    common = (install.HERE / "requirements.in").read_text()
    excludes = ("--excludes", str(install.HERE / "excludes.txt"))
    made = [compile_lock(install.LOCKS / "installer.lock", "3.10", "uv", *options)]
    for python in table["pythons"]:
        for version in table["versions"]:
            lock = install.toolkit_lock(version, python)
            wanted = f"{common}\nrknn-toolkit2=={version}"
            made.append(compile_lock(lock, python, wanted, *excludes, *options))
        for name in ("cpu-index", "pypi"):
            source = install.TORCH_SOURCES[name]
            wanted = (install.HERE / f"torch-{source.lock}.in").read_text()
            lock = install.torch_lock(name, python)
            made.append(compile_lock(lock, python, wanted, "--no-deps", *source.options, *options))
    return 0 if all(made) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
