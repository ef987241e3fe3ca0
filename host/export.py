"""From a training framework's files to an ONNX file: by rkforge itself, or by an exporter in its environment.

A pickle is never loaded here. Before an environment is started its names are held against the list of what
checkpoints need (`shared.pickles`), and the exporter holds them against it again.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host import engines, jobs, plan
from host.console import Screen
from host.engines.protocol import Engine, Limits
from host.routes import Route
from host.settings import Settings
from host.sources.native import export_ports
from host.sources.parts import files_of
from host.sources.source import Source
from shared import chips, contract, pickles
from shared.contract import CONTRACT, Job, Result
from shared.faults import Fault

ARTIFACT, FACTS = "model.onnx", "export.json"
KEYS = {"opset", "inputs", "outputs", "labels", "notes", "difference"}
"""Of what the exporter says."""


@dataclass(frozen=True)
class Export:
    """An ONNX file, and what is known of it."""

    path: Path
    facts: Mapping[str, Any]
    """Opset, inputs, outputs, labels, notes, and the difference from the framework's own outputs."""
    environment: Mapping[str, Any]
    """What made it; empty where rkforge did."""


def to_onnx(
    settings: Settings,
    source: Source,
    route: Route,
    max_opset: int,
    engine: Engine,
    folder: Path,
    screen: Screen,
) -> Export:
    """The ONNX file that a route's exporter makes, in `folder`, which is made.

    Args:
        settings: of the request.
        source: the model's files, on disk.
        route: names the exporter and its variant.
        max_opset: the newest that is wanted; an exporter may write an older one.
        engine: has the exporter's environment, or can build it.
        folder: for the file.
        screen: is told what goes on.

    Raises:
        Fault: pickle-refused, any of the model-* codes, graph-changed, and those of the engine.
    """
    _refuse_untrusted(settings, source, engine)
    environment = plan.exporter(route, engine.default_python)
    job = Job(
        contract=CONTRACT,
        chip="",
        toolkit_version=environment.version,
        source=export_ports.named(
            source, settings.inputs, settings.outputs, settings.input_sizes, settings.size
        ),
        config={"opset": max_opset, "size": settings.size, "trust_pickle": settings.trust_pickle},
        quantize=False,
        dataset=None,
        heldout=[],
        hybrid=None,
        analysis=False,
        artifact=ARTIFACT,
        timeout_s=settings.timeout_s,
        memory_bytes=settings.memory_bytes,
    )
    engines.require(engine, environment, screen.say)
    folder.mkdir(parents=True, exist_ok=True)
    with jobs.batch() as batch:
        directory = batch / "export"
        inputs = batch / "inputs"
        job = job._replace(source=_place(source, job.source, inputs))
        jobs.place(directory, job, inputs)
        limits = Limits(1, settings.memory_bytes)
        with screen.working(), engine.start(environment, batch, [directory.name], limits) as running:
            ended = jobs.follow(
                running,
                [directory],
                lambda _directory, event: screen.stage("export", event),
                settings.timeout_s + jobs.GRACE_S,
            )
        try:
            result = jobs.result(directory, ended)
        except Fault as fault:
            raise _kept(fault, directory, environment.tag) from None
        facts = _facts(directory / "out")
        made = folder / f"{source.main.stem}.onnx"
        shutil.move(directory / "out" / ARTIFACT, made)
        facts["notes"] += result.warnings
        return Export(made, facts, _environment(engine.provenance(environment), result))


def _refuse_untrusted(settings: Settings, source: Source, engine: Engine) -> None:
    """Fault pickle-refused for what may not be loaded where it would be."""
    if settings.trust_pickle or not chips.formats()[source.format].pickle:
        return
    path = source.files["model"]
    pickles.check(str(path))
    if not engine.isolated:
        raise Fault(
            "pickle-refused",
            f"{path.name} is a pickle, and without a container it would be loaded with all your rights",
            "Use --engine docker; or, if you trust where the file comes from, add --trust-pickle.",
        )


def _place(source: Source, named: contract.Source, inputs: Path) -> contract.Source:
    """Copy the model's files into `inputs`; the source as the job names it.

    No links: what a checkpoint's code does to its file in the container must not reach the user's.
    """
    root = inputs / "model"
    root.mkdir(parents=True)
    if source.files.keys() == {"folder"}:
        for name, path in files_of(source).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / name)
        return named._replace(files={"folder": "in/model"})
    for path in source.files.values():
        shutil.copyfile(path, root / path.name)
    return named._replace(files={role: f"in/model/{path.name}" for role, path in source.files.items()})


def _facts(out: Path) -> dict[str, Any]:
    """What the exporter says; Fault artifact-invalid where code in a checkpoint left something else."""
    try:
        facts = contract.read_json(str(out / FACTS))
    except (OSError, ValueError):
        facts = None
    real = not any((out / name).is_symlink() for name in (ARTIFACT, FACTS))
    if real and isinstance(facts, dict) and {*facts} == KEYS:
        return facts
    raise Fault("artifact-invalid", "the exporter left something other than an ONNX file and its facts")


def _kept(fault: Fault, directory: Path, tag: str) -> Fault:
    """The fault with its log where it outlives the job."""
    from host import paths

    log = directory / "log.txt"
    if fault.log and log.is_file():
        kept = paths.cache() / "builds" / f"export-{tag}-{time.time_ns()}.log"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, kept)
        fault.log = str(kept)
    return fault


def _environment(provenance: Mapping[str, Any], result: Result) -> dict[str, Any]:
    return {**result.environment, **{name: each for name, each in provenance.items() if name != "packages"}}
