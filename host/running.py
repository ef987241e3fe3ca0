"""Runs the jobs of one environment: prepares what they need, follows them, and judges what they made."""

import functools
import math
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from host import engines, jobs, loading
from host.console import Screen
from host.engines.protocol import Engine, Limits
from host.graph import regressions
from host.graph.origin import origins
from host.plan import Plan, Preparation
from host.results import decode
from host.settings import Settings
from host.sources.source import Source
from host.steps import description, estimation, facts, judgement, models, staging
from host.steps.facts import Facts, Identity
from host.steps.models import Model
from host.steps.staging import Staged
from shared import chips
from shared.chips import Toolkit
from shared.contract import CONTRACT, Event, Job, Result
from shared.faults import Fault
from shared.text import one_line

INPUTS = "inputs"
"""The folder of a run that has what its jobs share besides the models."""


class Ended(NamedTuple):
    """How a plan's job ended, and where its files are."""

    plan: Plan
    directory: Path
    facts: Facts | Fault


class _Followed(NamedTuple):
    """How the jobs' run ended as a whole, where it ran, and what each kind of plan is compared with."""

    ended: Fault | None
    provenance: dict[str, Any]
    expected: dict[Preparation, Future[judgement.Reference | None]]


def run(
    settings: Settings,
    source: Source,
    engine: Engine,
    plans: list[Plan],
    identity: Identity,
    folder: Path,
    screen: Screen,
) -> Iterator[Ended]:
    """Run plans that share environment and route, at most `settings.jobs` at once.

    Args:
        settings: of the request.
        source: the model's files.
        engine: has the environment, or can build it.
        plans: at least one.
        identity: of the user's files.
        folder: an empty one for the job directories.
        screen: is told what goes on.

    Raises:
        Fault: what concerns them all.
    """
    directories = {folder / f"job-{number:04d}": each for number, each in enumerate(plans, 1)}
    for each in plans:
        screen.stage(each.name, Event(time.time(), "prepare", "", 0, 0))
    inputs = folder / INPUTS
    inputs.mkdir()
    environment = plans[0].environment
    toolkit = chips.toolkit(environment.toolkit)
    loaded = loading.load(settings, source, plans[0], engine, folder / "source", screen)
    staged = staging.stage(settings, loaded, any(each.quantize for each in plans), toolkit, inputs)
    for line in staged.notes:
        screen.say(line)
    made = _prepare(staged, plans, toolkit, folder, screen)
    engines.require(engine, environment, screen.say)
    placed = {}
    for directory, each in directories.items():
        placed[directory] = job(settings, each, staged, made[each.preparation])
        jobs.place(directory, placed[directory], inputs, made[each.preparation].folder)
    followed = _follow(settings, engine, directories, staged, made, folder, screen)
    estimate = functools.cache(
        lambda wanted: _estimate(settings, staged, made[wanted], inputs, toolkit, screen)
    )
    for directory, each in directories.items():
        model = made[each.preparation]
        try:
            result, checks = _judged(settings, each, staged, model, directory, followed, estimate)
            told, ran = staged.to_json(model, each.quantize), followed.provenance
            compiled = result.placement.operators if result.placement else ()
            sources = origins(model.graph, compiled) if model.graph else {}
            ending: Facts | Fault = facts.make(
                identity, each, placed[directory], source.format, told, result, ran, checks, sources
            )
        except Fault as fault:
            ending = fault
        except OSError as error:
            ending = Fault.from_os_error(error, "file-access")
        except Exception as error:  # a bug here costs no other plan its result
            ending = _bug(error, directory / "log.txt")
        yield Ended(each, directory, ending)


def _judged(
    settings: Settings,
    each: Plan,
    staged: Staged,
    model: Model,
    directory: Path,
    followed: _Followed,
    estimate: Callable[[Preparation], tuple[list[NDArray[Any]], str]],
) -> tuple[Result, dict[str, Any] | None]:
    """A job's result with all that is delivered, and how its outputs compare.

    Raises:
        Fault: why there is none.
    """
    result, wanted, out = jobs.result(directory, followed.ended), each.preparation, directory / "out"
    known = followed.expected[wanted].result() or judgement.answered(model, out, result.reference)
    estimated, cause = (
        estimate(wanted) if each.estimate and model.prepared and not staged.quantized else ([], "")
    )
    answers = judgement.left(out, result.simulated) or estimated
    checks = judgement.check(known, answers, wanted.activation_bits, bool(estimated))
    description.write(settings, each, staged, model, result, out)
    warnings = [*result.warnings, *filter(None, [cause]), *judgement.still(checks)]
    return result._replace(warnings=warnings, documents=[*result.documents, decode.NAME]), checks


def _bug(error: Exception, log: Path) -> Fault:
    """The fault for what went wrong in rkforge itself; where it did goes into the log."""
    with log.open("a", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return Fault("internal", f"{type(error).__name__}: {one_line(error)}")


def _follow(
    settings: Settings,
    engine: Engine,
    directories: dict[Path, Plan],
    staged: Staged,
    made: dict[Preparation, Model],
    folder: Path,
    screen: Screen,
) -> _Followed:
    """Run the jobs in their directories, and meanwhile the float models on the host."""
    environment = next(iter(directories.values())).environment
    at_once = min(settings.jobs, len(directories))
    deadline_s = settings.timeout_s * math.ceil(len(directories) / at_once) + jobs.GRACE_S
    limits = Limits(at_once, settings.memory_bytes)
    pool = ThreadPoolExecutor(1)
    try:
        references = {
            wanted: pool.submit(judgement.reference, staged, model, folder / INPUTS)
            for wanted, model in made.items()
        }
        with (
            screen.working(),
            engine.start(environment, folder, [path.name for path in directories], limits) as running,
        ):
            ended = jobs.follow(
                running,
                list(directories),
                lambda directory, event: screen.stage(directories[directory].name, event),
                deadline_s,
            )
        provenance = engine.provenance(environment)
        wait(references.values())
    finally:
        pool.shutdown(cancel_futures=True)  # who stops the run does not wait for what has not begun
    return _Followed(ended, provenance, references)


def _prepare(
    staged: Staged, plans: list[Plan], toolkit: Toolkit, folder: Path, screen: Screen
) -> dict[Preparation, Model]:
    """The model for every kind of plan, prepared; says what was changed and warns of what will suffer."""
    made = {}
    kinds = list(dict.fromkeys(each.preparation for each in plans))
    for number, wanted in enumerate(kinds, 1):
        model = models.make(staged.source, wanted, toolkit, folder / f"model-{number}")
        names = ", ".join(each.name for each in plans if each.preparation == wanted)
        about = f"{names}: " if len(kinds) > 1 else ""
        for change in model.changes:
            screen.say(about + change.what)
        for line in model.warnings:
            screen.warn(about + line)
        made[wanted] = model
    return made


def job(settings: Settings, each: Plan, staged: Staged, model: Model) -> Job:
    """What an environment is asked to do for a plan; in/ has the files of `staged` and of `model`."""
    toolkit, version = chips.toolkit(each.environment.toolkit), each.environment.version
    known = toolkit.regressions.get(version, {})
    quantize = each.quantize and not staged.quantized
    return Job(
        contract=CONTRACT,
        chip=each.chip,
        toolkit_version=version,
        source=model.source,
        config={
            **description.options(settings, each, staged, model),
            **regressions.without(each.config, model.graph, known),
            **staged.config,
        },
        quantize=quantize,
        dataset=staged.dataset if quantize else None,
        heldout=staged.heldout,
        hybrid=None if each.hybrid is None else dict(each.hybrid),
        analysis=each.analysis,
        artifact=toolkit.artifact,
        timeout_s=settings.timeout_s,
        memory_bytes=settings.memory_bytes,
    )


def _estimate(
    settings: Settings, staged: Staged, model: Model, inputs: Path, toolkit: Toolkit, screen: Screen
) -> tuple[list[NDArray[Any]], str]:
    """The host's estimate of the outputs; without one, a line that says so and why."""
    screen.say("estimating the outputs on the host")
    try:
        return estimation.outputs(settings, staged, model.file, inputs, toolkit), ""
    except estimation.NotEstimated as error:
        return [], f"not estimated: {error}"
