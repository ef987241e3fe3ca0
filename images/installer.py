"""Install a toolkit's environment from its locks: one recipe for the images and for the local engine.

What differs between toolkits comes as a `Recipe` from images/<toolkit>/install.py. Needs the standard
library, Python 3.6, and `uv` as a module or as a command. All that is installed is hash-checked; what no
conversion uses is removed again; `rkforge.json`, written last, tells what came out, so an environment without
it is incomplete.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

MANIFEST = "rkforge.json"
NO_TORCH = "none"
"""The one source of PyTorch in a variant without it."""
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
    "tensorflow/include",
    "torch/bin/*[!r]",  # all but torch_shm_manager, which torch looks for at import
    "torch/include",
    "torch/test",
)
"""Globs under site-packages: what no environment misses. The READMEs tell how that was seen."""

PROBE = """
import json, platform, sysconfig
print(json.dumps({"python": platform.python_version(), "site": sysconfig.get_path("purelib")}))
"""
COMPILE = """
import compileall, py_compile, sys
lasting = sys.version_info >= (3, 7)
mode = {"invalidation_mode": py_compile.PycInvalidationMode.UNCHECKED_HASH} if lasting else {}
compileall.compile_dir(sys.argv[1], quiet=2, workers=0, **mode)
"""


class Unusable(Exception):
    """Something that has to be there is not, or is not what it should be; `code` is one of shared.faults."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__("%s. %s" % (message, hint))
        self.code = code
        self.message = message
        self.hint = hint


class Part(NamedTuple):
    """One step of an installation."""

    lock: Path
    options: Tuple[str, ...] = ()
    """What uv is told beside."""


def no_choice(_python: str, _variant: str) -> List[str]:
    """The sources of a toolkit whose lock alone says where PyTorch comes from."""
    return []


def nothing(_site: Path, _variant: str) -> None:
    """The finish of a toolkit that needs none."""


class Recipe(NamedTuple):
    """What a toolkit's environments are made of."""

    folder: Path
    """images/<toolkit>"""
    parts: Callable[[str, str, str, str], List[Part]]
    """(version, Python, variant, PyTorch source) -> what is installed, in this order."""
    thin: Dict[str, Tuple[str, ...]]
    """Variant -> globs, as THIN, for what only such an environment has."""
    sources: Callable[[str, str], List[str]] = no_choice
    """(Python, variant) -> where PyTorch can come from, preferred first."""
    beside: Tuple[Path, ...] = ()
    """Further folders of images/ that it takes locks from."""
    finish: Callable[[Path, str], None] = nothing
    """Called with site-packages and the variant when all is installed."""
    compiles: bool = False
    """Whether packages are built from source, which takes a C compiler."""

    @property
    def wheels(self) -> Path:
        """The folder for wheels that are not fetched from an index."""
        return self.folder / "wheels"

    def locks(self, version: str, python: str, variant: str) -> List[Path]:
        """Every lock that such an environment may be pinned by, whatever its source of PyTorch."""
        sources = self.sources(python, variant) or [""]
        parts = [part for source in sources for part in self.parts(version, python, variant, source)]
        return sorted({part.lock for part in parts})


def install(
    recipe: Recipe,
    venv: Path,
    python: str,
    version: str,
    variant: str,
    torch_source: str = "",
    dependencies_only: bool = False,
) -> None:
    """Make the virtual environment `venv` anew.

    Args:
        recipe: the toolkit's.
        venv: its folder; replaced if it is a virtual environment already.
        python: the interpreter to base it on, as a path or as uv's `--python` takes it.
        version: of the toolkit.
        variant: a key of the recipe's `thin`.
        torch_source: one of the recipe's sources, if it has a choice.
        dependencies_only: leave out the vendor's wheel, where the toolkit comes as one.

    Raises:
        subprocess.CalledProcessError: uv failed, after it has said why on stderr.
        Unusable: there is no lock for what is asked, or the vendor's wheel is missing or wrong.
    """
    uv("venv", "--quiet", "--clear", "--python", python, str(venv))
    interpreter = venv / "bin" / "python"
    probed = subprocess.check_output([str(interpreter), "-I", "-c", PROBE])
    found: Dict[str, str] = json.loads(probed.decode())
    site = Path(found["site"])
    minor = ".".join(found["python"].split(".")[:2])
    parts = recipe.parts(version, minor, variant, torch_source)
    for part in parts:
        if not part.lock.is_file():
            raise Unusable(
                "version-unsupported", "there is no lock %s" % part.lock, "Choose another version."
            )
    for part in parts:
        pip_install(interpreter, "--require-hashes", *part.options, "-r", str(part.lock))
    recipe.finish(site, variant)
    thin(site, (*THIN, *recipe.thin[variant]))
    wheel = None if dependencies_only else _vendor_wheel(recipe, interpreter, version, minor)
    compile_all(interpreter, site)
    packages = _packages(interpreter)
    manifest = {
        "toolkit": recipe.folder.name,
        "version": version,
        "variant": variant,
        "python": found["python"],
        "torch": packages.get("torch", "none"),
        "torch_source": torch_source or None,
        "locks": {part.lock.name: hashlib.sha256(part.lock.read_bytes()).hexdigest() for part in parts},
        "wheel": wheel,
        "packages": packages,
    }
    (venv / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def lock(folder: Path, name: str, python: str, suffix: str = "") -> Path:
    """The lock in a folder of images/ that pins what `name` stands for, on a Python ("3.11")."""
    return folder / "locks" / ("%s-py%s%s.lock" % (name, python.replace(".", ""), suffix))


def thin(site: Path, patterns: Iterable[str]) -> None:
    """Remove what the globs in `patterns` match below this site-packages folder."""
    for path in [found for pattern in patterns for found in site.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        elif path.exists() or path.is_symlink():
            path.unlink()


def compile_all(interpreter: Path, folder: Path) -> None:
    """Write the compiled files of all modules: without them every conversion would compile for 10 s.

    From Python 3.7 on they do not depend on time stamps, so that no copying makes them invalid.
    """
    subprocess.call([str(interpreter), "-W", "ignore", "-c", COMPILE, str(folder)], stdout=subprocess.DEVNULL)


def pip_install(interpreter: Path, *arguments: str) -> None:
    """Install into the environment of this interpreter what is named, and nothing that it asks for."""
    uv("pip", "install", "--python", str(interpreter), "--no-deps", *arguments)


def uv(*arguments: str) -> None:
    """Run uv, which says on stderr what it does."""
    # the system's certificates: a company's proxy often signs with one that uv does not ship
    environment = dict({"UV_SYSTEM_CERTS": "true"}, **os.environ)
    subprocess.check_call([*_uv(), *arguments], env=environment)


def _uv() -> Sequence[str]:
    return (sys.executable, "-m", "uv") if importlib.util.find_spec("uv") else ("uv",)


def _packages(interpreter: Path) -> Dict[str, str]:
    command = [*_uv(), "pip", "list", "--format", "json", "--python", str(interpreter)]
    listed: List[Dict[str, str]] = json.loads(subprocess.check_output(command).decode())
    return {package["name"]: package["version"] for package in listed}


def _vendor_wheel(recipe: Recipe, interpreter: Path, version: str, python: str) -> Any:
    # not above: an image's dependencies are installed before this module, which changes more often, is there
    from images import wheel

    if not wheel.needed(recipe.folder):
        return None
    path = wheel.ensure(recipe.folder, version, python)
    pip_install(interpreter, str(path))
    return wheel.described(path)


def main(recipe: Recipe) -> int:
    """The command line of a toolkit's install.py; the exit status is uv's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--variant", choices=list(recipe.thin), default=next(iter(recipe.thin)))
    parser.add_argument("--torch-source", default="")
    parser.add_argument("--dependencies-only", action="store_true")
    try:
        install(recipe, **vars(parser.parse_args()))
    except subprocess.CalledProcessError as error:
        return error.returncode
    except (Unusable, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0
