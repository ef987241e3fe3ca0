"""Building environments ahead of their first use, and removing what rkforge keeps."""

import shutil
import time
from collections.abc import Callable, Set
from pathlib import Path

from host import config, engines, jobs, paths
from host.console import Screen
from host.engines import local, recipe
from host.plan import environment_of
from shared import chips
from shared.faults import Fault


def build(
    toolkit: str,
    version: str,
    python: str,
    variant: str,
    engine_name: str,
    torch_source: str,
    wheel: str,
    screen: Screen,
) -> int:
    """Build one environment; empty names mean the toolkit's defaults, no `wheel` the one that is there."""
    made = chips.kit(toolkit)
    problems = config.unknown(
        {
            "toolkit-version": (version, made.versions),
            "python": (python, chips.pythons(made, variant if variant in made.variants else "")),
            "variant": (variant, made.variants),
        }
    )
    if problems:
        raise config.together(problems)
    engine, why = engines.choose(engine_name)
    environment = environment_of(made, engine.default_python, version, python, variant)
    screen.say(f"engine {engine.name}: {why}")
    if wheel:
        recipe.vendor_wheel(environment, screen.say, Path(wheel))
    started = time.monotonic()
    engine.build(environment, screen.say, torch_source)
    screen.print(f"{environment.image} is ready ({engine.name}, {time.monotonic() - started:.0f} s)")
    return 0


def clean(everything: bool, screen: Screen) -> int:
    """Remove interrupted jobs and stored results; with `everything` the environments and images, too.

    What a conversion uses is left alone, and said to be.
    """
    locks = paths.cache() / "locks"
    alive = jobs.alive()
    for name in sorted(alive):
        screen.say(f"left alone, a conversion runs in it: {jobs.folder() / name}")
    freed = sum(_remove(paths.cache() / name) for name in ("results", "doctor"))
    freed += _clear(jobs.folder(), jobs.alive) + _clear(locks, lambda: jobs.held(locks))
    if everything:
        for name in sorted(_busy()):
            screen.say(f"left alone, a conversion uses it: {local.folder() / name}")
        freed += _remove(paths.cache() / "builds") + _clear(local.folder(), _busy)
    try:
        engine, _ = engines.choose("docker")
    except Fault:
        engine = None
    from host.engines.docker import DockerEngine

    if isinstance(engine, DockerEngine):
        for name in engine.sweep(jobs.folder(), jobs.alive):
            screen.print(f"removed container {name}")
        for image in engine.images() if everything else []:
            name = ", ".join(image.tags) or str(image.id)
            if engine.remove(image):
                screen.print(f"removed image {name}")
            else:
                screen.say(f"left alone, a container or another image uses it: {name}")
    screen.print(f"freed {freed / 1e6:.0f} MB in {paths.cache()}")
    return 0


def _busy() -> Set[str]:
    """The local environments that a conversion or an installation uses."""
    return local.used(jobs.folder() / name for name in jobs.alive()) | jobs.held(local.folder())


def _clear(folder: Path, busy: Callable[[], Set[str]]) -> int:
    """Remove what is in a folder, but what has, or begins with, a name in use at that moment; the bytes."""
    return sum(_remove(path) for path in [*folder.glob("*")] if not path.name.startswith(tuple(busy())))


def _remove(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if not file.is_dir()]
    size = sum(file.lstat().st_size for file in files)
    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return size
