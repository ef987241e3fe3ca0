"""One request from settings to delivered files: plan, cache, stage, run, judge, deliver.

Everything that converts calls `convert`; what differs between engines, chips and toolkits is data here.
"""

import functools
import json
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host import environments, jobs
from host.console import Screen
from host.engines import recipe
from host.engines.protocol import Engine, Limits
from host.plan import Environment, Plan, Preparation
from host.results import cache, decode, delivery, facts, record
from host.results.facts import Facts
from host.settings import Settings
from shared import chips
from shared.chips import Toolkit
from shared.contract import CONTRACT, Event, Job
from shared.faults import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host.models import Model
    from host.staging import Staged

GRACE_S = 120
IN = "in"


@dataclass(frozen=True)
class Outcome:
    """How one plan ended: with facts and delivered files, or with a fault."""

    plan: Plan
    facts: Facts | None
    from_cache: bool
    fault: Fault | None


@dataclass(frozen=True)
class _Batch:
    """What the jobs of one request share."""

    folder: Path
    identity: facts.Identity
    keys: dict[str, str]
    screen: Screen


def convert(settings: Settings, engine: Engine, plans: list[Plan], screen: Screen) -> list[Outcome]:
    """Carry out a request; one outcome per plan, in their order.

    Raises:
        Fault: what concerns the request as a whole (model, dataset, environment, output). What concerns one
            of several environments is the outcome of its plans.
    """
    with ExitStack() as claims:
        for each in plans:
            delivery.prepare(each.target.artifact.parent)
            claims.enter_context(delivery.claimed(each.target.artifact))
        identity = facts.identify(settings)
        keys = {each.chip: _key(settings, each, engine, identity) for each in plans}
        stored = {chip: entry for chip, key in keys.items() if settings.cache and (entry := _stored(key))}
        outcomes = {
            each.chip: _deliver(settings, each, stored[each.chip], True)
            for each in plans
            if each.chip in stored
        }
        missing = [each for each in plans if each.chip not in outcomes]
        for environment in dict.fromkeys(each.environment for each in missing):
            group = [each for each in missing if each.environment == environment]
            try:
                with jobs.batch() as folder:
                    shared = _Batch(folder, identity, keys, screen)
                    ended = _run(settings, engine, environment, group, shared)
            except Fault as fault:
                if all(each.environment == environment for each in plans):
                    raise
                ended = [Outcome(each, None, False, fault) for each in group]
            outcomes.update((outcome.plan.chip, outcome) for outcome in ended)
    return [outcomes[each.chip] for each in plans]


def _stored(key: str) -> Path | None:
    """The cache's entry, unless it was damaged."""
    entry = cache.find(key)
    if entry is not None and not facts.intact(entry):
        cache.remove(key)
        return None
    return entry


def _key(settings: Settings, each: Plan, engine: Engine, identity: facts.Identity) -> str:
    return cache.key(
        {
            "identity": identity._asdict(),
            "name": settings.model.stem,
            "request": facts.request(settings, each),
            "config": each.config,
            "environment": each.environment,
            "locks": recipe.locks_digest(each.environment),
            "code": recipe.contract_digest(each.environment),
            "host": facts.code_digest(),
            "engine": engine.name,
        }
    )


def _run(
    settings: Settings, engine: Engine, environment: Environment, plans: list[Plan], batch: _Batch
) -> list[Outcome]:
    """Run the jobs of one environment, at most `settings.jobs` at once, and finish each."""
    from host import description, staging  # numpy, onnx: not for what ends before this

    screen = batch.screen
    directories = {batch.folder / f"job-{number:04d}": each for number, each in enumerate(plans, 1)}
    for each in plans:
        screen.stage(each.name, Event(time.time(), "prepare", "", 0, 0))
    inputs = batch.folder / "inputs"
    inputs.mkdir()
    quantize = any(each.quantize for each in plans)
    toolkit = chips.toolkit(environment.toolkit)
    staged = staging.stage(settings, quantize, toolkit, inputs)
    for line in staged.notes:
        screen.say(line)
    models = _prepare(staged, plans, toolkit, batch)
    environments.require(engine, environment, screen)
    placed = {}
    for directory, each in directories.items():
        model = models[each.preparation]
        placed[directory] = job(settings, each, staged, model)
        jobs.place(directory, placed[directory], inputs, model.folder)

    at_once = min(settings.jobs, len(plans))
    deadline_s = settings.timeout_s * math.ceil(len(plans) / at_once) + GRACE_S
    limits = Limits(at_once, settings.memory_bytes)
    with ThreadPoolExecutor(1) as pool, screen.working():
        references = {
            wanted: pool.submit(staging.reference, staged, model, inputs) for wanted, model in models.items()
        }
        with engine.start(environment, batch.folder, [path.name for path in directories], limits) as running:
            ended = jobs.follow(
                running,
                list(directories),
                lambda directory, event: screen.stage(directories[directory].name, event),
                deadline_s,
            )
        provenance = engine.provenance(environment)
        expected = {wanted: reference.result() for wanted, reference in references.items()}
    estimate = functools.cache(
        lambda wanted: _estimate(settings, staged, models[wanted], inputs, toolkit, screen)
    )
    outcomes = []
    for directory, each in directories.items():
        result = jobs.result(directory, ended)
        if isinstance(result, Fault):
            outcomes.append(_failed(each, directory, result))
            continue
        simulated = staging.simulated(directory / "out", result.simulated)
        estimated, cause = estimate(each.preparation) if each.estimate else ([], "")
        wanted, answers = each.preparation, simulated or estimated
        try:
            checks = staging.check(expected[wanted], answers, wanted.activation_bits, bool(estimated))
        except Fault as fault:
            outcomes.append(_failed(each, directory, fault))
            continue
        description.write(settings, each, staged, models[wanted], result, directory / "out")
        result = result._replace(
            warnings=[*result.warnings, *filter(None, [cause])],
            documents=[*result.documents, decode.NAME],
        )
        known = staged.to_json(models[wanted])
        made = facts.make(batch.identity, each, placed[directory], known, result, provenance, checks)
        outcomes.append(_finish(settings, each, batch.keys[each.chip], made, directory))
    return outcomes


def _prepare(
    staged: "Staged", plans: list[Plan], toolkit: Toolkit, batch: _Batch
) -> dict[Preparation, "Model"]:
    """The model for every kind of plan, prepared; says what was changed and warns of what will suffer."""
    from host import models

    made = {}
    kinds = list(dict.fromkeys(each.preparation for each in plans))
    for number, wanted in enumerate(kinds, 1):
        model = models.make(staged.source, wanted, toolkit, batch.folder / f"model-{number}")
        names = ", ".join(each.name for each in plans if each.preparation == wanted)
        about = f"{names}: " if len(kinds) > 1 else ""
        for line in model.notes:
            batch.screen.say(about + line)
        for line in model.warnings:
            batch.screen.warn(about + line)
        made[wanted] = model
    return made


def _estimate(
    settings: Settings, staged: "Staged", model: "Model", inputs: Path, toolkit: Toolkit, screen: Screen
) -> tuple[list["NDArray[Any]"], str]:
    """The host's estimate of the outputs; without one, a line that says so and why."""
    from host import estimation

    screen.say("estimating the outputs on the host")
    try:
        return estimation.outputs(settings, staged, model.file, inputs, toolkit), ""
    except estimation.NotEstimated as error:
        return [], f"not estimated: {error}"


def job(settings: Settings, each: Plan, staged: "Staged", model: "Model") -> Job:
    """What an environment is asked to do for a plan; in/ has the files of `staged` and of `model`."""
    from host import description, models
    from host.graph import regressions

    toolkit, version = chips.toolkit(each.environment.toolkit), each.environment.version
    known = toolkit.regressions.get(version, {})
    return Job(
        contract=CONTRACT,
        chip=each.chip,
        toolkit_version=version,
        model=f"{IN}/{models.FILE}",
        config={
            **description.options(settings, each, staged, model),
            **regressions.without(each.config, model.prepared.proto, known),
            **staged.config,
        },
        quantize=each.quantize,
        dataset=staged.dataset if each.quantize else None,
        heldout=staged.heldout,
        hybrid=None if each.hybrid is None else dict(each.hybrid),
        analysis=each.analysis,
        artifact=toolkit.artifact,
        timeout_s=settings.timeout_s,
        memory_bytes=settings.memory_bytes,
    )


def _finish(settings: Settings, each: Plan, key: str, made: Facts, directory: Path) -> Outcome:
    """Keep a finished job's files in the cache, and deliver them."""
    entry = directory / "entry"
    entry.mkdir()
    (directory / "out" / chips.toolkit(each.environment.toolkit).artifact).rename(entry / facts.ARTIFACT)
    (directory / "log.txt").rename(entry / facts.LOG)
    for name in made["documents"]:
        (directory / "out" / name).rename(entry / facts.document(name))
    facts.write(made, entry)
    if settings.cache:
        cache.store(key, {path.name: path for path in entry.iterdir()})
    return _deliver(settings, each, entry, False)


def _deliver(settings: Settings, each: Plan, entry: Path, from_cache: bool) -> Outcome:
    """Put an entry's files where the plan wants them, unless what is wrong with them is not allowed."""
    made = facts.read(entry)
    checks = made["checks"]
    if checks is not None and checks["verdict"] == "dead" and not settings.allow_dead:
        return Outcome(each, made, from_cache, Fault("dead-output", checks["explanation"]))
    placed = made["placement"]
    if placed is not None and placed["verdict"] == "missing" and not settings.allow_cpu:
        hint = f"{placed['advice']}. --allow-cpu keeps the file."
        return Outcome(each, made, from_cache, Fault("placement", placed["explanation"], hint))
    target = each.target
    texts = {
        "record": record.dump(facts.as_record(made, settings, each)),
        "report": json.dumps(facts.as_report(made, each, from_cache), indent=2, ensure_ascii=False) + "\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        delivery.deliver(
            {
                **{target.document(name): entry / facts.document(name) for name in made["documents"]},
                target.log: entry / facts.LOG,
                target.report: Path(folder) / "report",
                target.record: Path(folder) / "record",
                target.artifact: entry / facts.ARTIFACT,
            }
        )
    target.failed_log.unlink(missing_ok=True)
    return Outcome(each, made, from_cache, None)


def _failed(each: Plan, directory: Path, fault: Fault) -> Outcome:
    """Keep the log of a failed job beside where its result would have been."""
    log = directory / "log.txt"
    if log.is_file():
        delivery.deliver({each.target.failed_log: log})
        fault.log = str(each.target.failed_log)
    return Outcome(each, None, False, fault)
