"""The front door: Invoke tasks. Each gathers strings, calls host/, and prints; nothing is decided here."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from host import paths
from host.console import Screen
from host.flags import LISTS, given, takes
from host.settings import SETTINGS
from shared import chips as table
from shared.faults import Fault

TOOLKITS = " or ".join(table.toolkits())
TOOLKIT = next(iter(table.toolkits()))
HELP = {setting.name: setting.help for setting in SETTINGS}
JSON = "print one JSON document on stdout"
ANALYZED = f"a file, a folder or a zip; several files of one model with '{os.pathsep}' between them"
CONVERT_HELP = {
    **{name: text for name, text in HELP.items() if name != "opset"},
    "set": "key=value, any option of the toolkit's config(); repeatable",
    "from": "repeat the conversion that an rknn_source.yaml describes, and compare",
    "json": JSON,
    "dry-run": "print what would be done, and stop",
}
PREPARE_HELP = {
    **{name: HELP[name] for name in ("chip", "model", "head", "size", "inputs", "outputs", "input-sizes")},
    "dtype": "what the graph is prepared for; default int8 where the chip has it",
    "output": "a folder, or the .onnx file to write; default out/<model>/<chip>-<dtype>",
    "json": JSON,
}
EXPORT_HELP = {
    **{name: HELP[name] for name in ("chip", "model", "size", "opset", "inputs", "outputs", "input-sizes")},
    **{name: HELP[name] for name in ("engine", "memory", "timeout", "trust-pickle")},
    "output": "a folder, or the .onnx file to write; default out/<model>",
    "json": JSON,
}
ENVIRONMENT_HELP = {
    "toolkit": f"{TOOLKITS}; {' or '.join(table.exporters())} for what exports to ONNX; default {TOOLKIT}",
    **{name: HELP[name] for name in ("toolkit-version", "python", "variant", "engine")},
    "torch-source": "where PyTorch comes from: wheels, cpu-index or pypi; default the first within reach",
    "wheel": "the vendor's wheel, or the archive with it, where no package index has it: verified, kept",
}

STOPPING = (signal.SIGINT, signal.SIGTERM)


@task(iterable=["set_", *LISTS], help=CONVERT_HELP, auto_shortflags=False)
@takes(CONVERT_HELP)
def convert(
    context: Context,
    set_: list[str] | None = None,
    from_: str | None = None,
    json: bool = False,
    dry_run: bool = False,
    **flags: Any,
) -> None:
    """Convert a model to .rknn: invoke convert --chip rk3588 --model model.onnx"""
    _run(json, lambda screen: _convert(screen, given(flags), set_ or [], from_, json, dry_run))


def _convert(
    screen: Screen,
    flags: dict[str, Any],
    changes: list[str],
    record: str | None,
    as_json: bool,
    dry_run: bool,
) -> int:
    from host import config
    from host.commands import convert

    if record is not None:
        return convert.repeat(Path(record), flags, screen, as_json)
    settings = config.resolve(flags, changes, Path.cwd(), os.environ)
    if dry_run:
        return convert.preview(settings, screen, as_json)
    return convert.run(settings, screen, as_json)


@task(iterable=LISTS, help=PREPARE_HELP, auto_shortflags=False)
@takes(PREPARE_HELP)
def prepare(context: Context, json: bool = False, **flags: Any) -> None:
    """Write the graph that `convert` would give to the toolkit, and what was changed. Needs no engine."""

    def make(screen: Screen) -> int:
        from host import config
        from host.commands import prepare

        return prepare.run(config.resolve(given(flags), [], Path.cwd(), os.environ), screen, json)

    _run(json, make)


@task(positional=["path"], help={"path": ANALYZED, "json": JSON})
def analyze(context: Context, path: str, json: bool = False) -> None:
    """Show what a model is, before anything is converted: format, inputs, outputs, what can take it."""

    def show(screen: Screen) -> int:
        from host.commands import analyze
        from host.settings import files

        return analyze.show(list(files(path)), screen, json)

    _run(json, show)


@task(iterable=LISTS, help=EXPORT_HELP, auto_shortflags=False)
@takes(EXPORT_HELP)
def export(context: Context, json: bool = False, **flags: Any) -> None:
    """Write a model of a training framework as ONNX, alone: invoke export --model best.pt"""

    def make(screen: Screen) -> int:
        from host import config
        from host.commands import export

        settings = config.resolve(given(flags), [], Path.cwd(), os.environ, chipless=True)
        return export.run(settings, screen, json)

    _run(json, make)


@task(positional=["file"], help={"file": "a .rknn file", "json": JSON})
def inspect(context: Context, file: str, json: bool = False) -> None:
    """Show what a .rknn file holds: chip, versions, inputs and outputs. Needs no toolkit and no board."""

    def show(screen: Screen) -> int:
        from host.commands import inspection

        return inspection.show(Path(file), screen, json)

    _run(json, show)


@task(help={"json": JSON})
def chips(context: Context, json: bool = False) -> None:
    """List the chips, their toolkits and the dtypes that work on each."""

    def show(screen: Screen) -> int:
        from host.commands import listing

        return listing.chips(screen, json)

    _run(json, show)


@task(
    help={
        "toolkit": f"convert a tiny model with this toolkit, {TOOLKITS}, and show what comes of it",
        "python": "try it on this Python, for example 3.6; default that of the toolkit's environment",
        "engine": HELP["engine"],
        "json": JSON,
    }
)
def doctor(
    context: Context, toolkit: str = "", python: str = "", engine: str = "auto", json: bool = False
) -> None:
    """Check this machine: engine, Python, disk, environments, and what a conversion would use."""

    def show(screen: Screen) -> int:
        from host.commands import doctor as examination

        if toolkit or python:
            return examination.attempt(toolkit or TOOLKIT, python, engine, screen, json)
        return examination.show(engine, screen, json)

    _run(json, show)


@task(help=ENVIRONMENT_HELP)
def build(
    context: Context,
    toolkit: str = TOOLKIT,
    toolkit_version: str = "",
    python: str = "",
    variant: str = "",
    engine: str = "auto",
    torch_source: str = "",
    wheel: str = "",
) -> None:
    """Build a toolkit's environment now instead of at the first conversion."""

    def make(screen: Screen) -> int:
        from host.commands import environments

        return environments.build(
            toolkit, toolkit_version, python, variant, engine, torch_source, wheel, screen
        )

    _run(False, make)


@task(help={"all": "the environments too: this cache's, and all of rkforge's images on the Docker engine"})
def clean(context: Context, all: bool = False) -> None:
    """Remove what rkforge keeps: interrupted jobs and stored results; with --all the environments too."""

    def sweep(screen: Screen) -> int:
        from host.commands import environments

        return environments.clean(all, screen)

    _run(False, sweep)


@task(help={"args": "further arguments for pytest, for example '-k calibration'"})
def test(context: Context, args: str = "") -> None:
    """Run the tests. Without a Docker engine those that need one are left out, except in CI."""
    done = context.run(f"{sys.executable} -m pytest {args}", pty=sys.stdout.isatty(), warn=True)
    raise Exit(code=done.exited if done is not None else 1)


def _run(as_json: bool, work: Callable[[Screen], int]) -> None:
    """Do the work; turn a fault into its message and exit status, and Ctrl-C or SIGTERM into a fault."""
    screen = Screen()
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)  # nothing shall interrupt the cleaning up
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, stop)
    try:
        raise Exit(code=work(screen))
    except Fault as fault:
        ended = fault
    except (BrokenPipeError, SystemExit):  # nobody reads on; rich makes the one the other
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=141) from None  # 128 + SIGPIPE, as of other programs
    except OSError as error:
        ended = paths.refused(error)
    except (KeyboardInterrupt, ImportError):  # native modules that are just loading make it an ImportError
        if not stopped:
            raise
        ended = Fault("cancelled", "stopped before the end")
    screen.fault(ended)
    if as_json:
        screen.json({"status": "failed", "artifacts": [], "fault": ended.to_json()})
    raise Exit(code=ended.exit_status)
