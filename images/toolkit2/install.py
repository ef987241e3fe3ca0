"""Install a toolkit2 environment from its locks: one recipe for the image and for the local engine.

Needs the standard library and `uv`, which must be importable by the Python that runs this file. All that
is installed is hash-checked; what no conversion uses is removed again (THIN); `rkforge.json`, written
last, tells what came out, so an environment without it is incomplete.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"
WHEELS = HERE / "wheels"
MANIFEST = "rkforge.json"


class TorchSource(NamedTuple):
    """Where PyTorch comes from: the stem of its lock and the options that make uv look there."""

    lock: str
    options: tuple[str, ...] = ()


# In the order of preference. A source serves a Python if the lock `torch-<lock>-py<XY>.lock` exists.
TORCH_SOURCES = {
    "cpu-index": TorchSource("cpu", ("--default-index", "https://download.pytorch.org/whl/cpu")),
    "wheels": TorchSource("cpu", ("--no-index", "--find-links", "{wheels}")),
    "pypi": TorchSource("pypi"),
}

NO_TORCH = "none"

# Globs under site-packages: what neither a conversion nor the simulator loads (README.md: how that was seen).
THIN = (
    "cv2/data/*.xml",
    "numpy/**/tests",
    "onnx/backend/test",
    "onnx/test",
    "onnxruntime/capi/libonnxruntime.so*",  # for C++ programs: the Python module has its own copy inside
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "scipy/**/tests",
    "setuptools/tests",
    "torch/bin/*[!r]",  # all but torch_shm_manager, which torch looks for at import
    "torch/include",
    "torch/lib/libtorch_cuda_linalg.so",
    "torch/test",
    "nvidia/*/include",
    "nvidia/cudnn/lib/libcudnn_*",
)
# TensorFlow and TFLite models need TensorFlow; the slim variant is for ONNX only.
THIN_SLIM = ("rknn/base/convertor/tensorflow2onnx",)

PROBE = """
import importlib.metadata, json, platform, sysconfig
packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({
    "python": platform.python_version(),
    "packages": dict(sorted(packages.items())),
    "site": sysconfig.get_path("purelib"),
}))
"""


def torch_sources(python: str, variant: str) -> list[str]:
    """The TORCH_SOURCES with a lock for this Python ("3.11"), preferred first; for slim NO_TORCH alone."""
    if variant != "full":
        return [NO_TORCH]
    return [name for name in TORCH_SOURCES if torch_lock(name, python).is_file()]


def torch_lock(source: str, python: str) -> Path:
    """The lock that pins PyTorch from this source for this Python."""
    return LOCKS / f"torch-{TORCH_SOURCES[source].lock}-py{python.replace('.', '')}.lock"


def toolkit_lock(version: str, python: str) -> Path:
    """The lock that pins everything but PyTorch."""
    return LOCKS / f"{version}-py{python.replace('.', '')}.lock"


def locks(version: str, python: str, variant: str, torch_source: str) -> list[Path]:
    """Every lock of one environment, in the order of installation."""
    pytorch = [torch_lock(torch_source, python)] if variant == "full" else []
    return [toolkit_lock(version, python), *pytorch]


def install(
    venv: Path, python: str, version: str, variant: str, torch_source: str, wheels: Path = WHEELS
) -> None:
    """Make the virtual environment `venv` anew.

    Args:
        venv: its folder; replaced if it is a virtual environment already.
        python: the interpreter to base it on, as a path or as uv's `--python` takes it.
        version: of rknn-toolkit2.
        variant: "full" with PyTorch, "slim" with the stand-in in slim/.
        torch_source: a key of TORCH_SOURCES; NO_TORCH for "slim".
        wheels: the folder that the source "wheels" looks in.

    Raises:
        subprocess.CalledProcessError: uv failed, after it has said why on stderr.
        FileNotFoundError: there is no lock for what is asked.
    """
    _uv("venv", "--quiet", "--clear", "--python", python, str(venv))
    interpreter = venv / "bin" / "python"
    before = _probe(interpreter)
    site = Path(before["site"])
    chosen = locks(version, ".".join(before["python"].split(".")[:2]), variant, torch_source)
    for lock in chosen:
        lock.stat()
    sources = [(), *(TORCH_SOURCES[torch_source].options for _ in chosen[1:])]
    for lock, options in zip(chosen, sources, strict=True):
        where = [option.format(wheels=wheels) for option in options]
        _uv(
            "pip",
            "install",
            "--python",
            str(interpreter),
            "--no-deps",
            "--require-hashes",
            *where,
            "-r",
            str(lock),
        )
    if variant == "slim":
        shutil.copy(HERE / "slim" / "torch.py", site)
    thin(site, THIN if variant == "full" else THIN + THIN_SLIM)
    # Without these files every conversion would compile for 10 s. They do not depend on time stamps, so
    # copying the environment into an image cannot make them invalid.
    compile_all = ["-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(site)]
    subprocess.run([str(interpreter), *compile_all], check=False, stdout=subprocess.DEVNULL)
    after = _probe(interpreter)
    manifest = {
        "toolkit": "toolkit2",
        "version": version,
        "variant": variant,
        "python": after["python"],
        "torch": after["packages"].get("torch", "stand-in"),
        "torch_source": torch_source if variant == "full" else None,
        "locks": {lock.name: hashlib.sha256(lock.read_bytes()).hexdigest() for lock in chosen},
        "packages": after["packages"],
    }
    (venv / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def thin(site: Path, patterns: Iterable[str]) -> None:
    """Remove what the globs in `patterns` match below this site-packages folder."""
    for path in [found for pattern in patterns for found in site.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _uv(*arguments: str) -> None:
    # the system's certificates: a company's proxy often signs with one that uv does not ship
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, env=environment)


def _probe(interpreter: Path) -> dict[str, Any]:
    done = subprocess.run([str(interpreter), "-I", "-c", PROBE], check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """The command line of `install`; the exit status is uv's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--variant", choices=["full", "slim"], default="full")
    parser.add_argument("--torch-source", choices=[*TORCH_SOURCES, NO_TORCH], default="cpu-index")
    parser.add_argument("--wheels", type=Path, default=WHEELS)
    try:
        install(**vars(parser.parse_args()))
    except subprocess.CalledProcessError as error:
        return error.returncode
    except FileNotFoundError as error:
        print(f"install.py: there is no lock {error.filename}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
