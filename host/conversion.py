"""One request from settings to delivered files: plan, cache, stage, run, judge, deliver.

Everything that converts calls `convert`; what differs between engines, chips and toolkits is data here.
"""

import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from host import jobs, plan
from host.console import Screen
from host.engines import recipe
from host.engines.protocol import Engine
from host.plan import Environment, Plan
from host.results import cache, delivery, record
from host.routes import Route
from host.settings import Settings
from host.sources.source import Source
from host.steps import cures, facts
from host.steps.facts import Facts
from shared import chips
from shared.causes import ANOTHER_ROUTE
from shared.faults import Fault

OF_ROUTE = ("model-op", "model-format", *ANOTHER_ROUTE)
"""Faults that another route may not meet: the toolkit, or the bridge, cannot take the model this way."""


@dataclass(frozen=True)
class Outcome:
    """How one plan ended: with facts and delivered files, or with a fault."""

    plan: Plan
    facts: Facts | None
    from_cache: bool
    fault: Fault | None


def convert(
    settings: Settings, source: Source, engine: Engine, plans: list[Plan], screen: Screen
) -> list[Outcome]:
    """Carry out a request; one outcome per plan, in their order.

    What a toolkit cannot take on a plan's route is tried on the next one.

    Raises:
        Fault: what concerns the request as a whole (model, dataset, environment, output). What concerns one
            of several environments is the outcome of its plans.
    """
    with ExitStack() as claims:
        for each in plans:
            claims.enter_context(delivery.prepared(each.target.artifact.parent))
            claims.enter_context(delivery.claimed(each.target.artifact))
        identity = facts.identify(settings, source)
        keys = {each.chip: _key(settings, each, engine, identity) for each in plans}
        stored = {chip: entry for chip, key in keys.items() if settings.cache and (entry := _stored(key))}
        outcomes = {
            each.chip: _deliver(settings, each, stored[each.chip], True)
            for each in plans
            if each.chip in stored
        }
        missing = [each for each in plans if each.chip not in outcomes]
        tried: dict[str, Fault] = {}
        while missing:
            group = [each for each in missing if _shared(each) == _shared(missing[0])]
            missing = [each for each in missing if each not in group]
            try:
                ended = _run(settings, source, engine, group, identity, keys, screen)
            except Fault as fault:
                if len(group) == len(plans) and not _another_way(group[0], fault):
                    raise _together(tried.get(group[0].chip), fault) from None
                ended = [Outcome(each, None, False, fault) for each in group]
            for outcome in ended:
                chip, failed = outcome.plan.chip, outcome.fault
                if failed and (route := _another_way(outcome.plan, failed)):
                    tried.setdefault(chip, failed)
                    why = f"{failed.message.rstrip('.')}: taking another way, {route}"
                    screen.warn(f"{outcome.plan.name}: {why}")
                    missing.append(plan.along(outcome.plan, route, why, engine.default_python))
                else:
                    outcomes[chip] = replace(outcome, fault=failed and _together(tried.get(chip), failed))
    return [outcomes[each.chip] for each in plans]


def _shared(each: Plan) -> tuple[Environment, Route]:
    """What plans share that run together."""
    return each.environment, each.route


def _another_way(each: Plan, fault: Fault) -> Route | None:
    """The next route of a plan after a fault that is about this one."""
    return each.others[0] if each.others and fault.code in OF_ROUTE else None


def _together(first: Fault | None, last: Fault) -> Fault:
    """What a person should hear of when the first way failed and the last one did, too."""
    if first is None:
        return last
    message = f"{first.message.rstrip('.')}; the other way failed, too: {last.message}"
    return Fault(first.code, message, first.hint, last.log, last.log_tail)


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
            "route": each.route,
            "exporter": each.route.exporter
            and recipe.code_digest(plan.exporter(each.route, lambda able: able[0])),
            "locks": recipe.locks_digest(each.environment),
            "code": recipe.contract_digest(each.environment),
            "host": facts.code_digest(),
            "engine": engine.name,
        }
    )


def _run(
    settings: Settings,
    source: Source,
    engine: Engine,
    plans: list[Plan],
    identity: facts.Identity,
    keys: dict[str, str],
    screen: Screen,
) -> list[Outcome]:
    """Run plans that share environment and route, and keep and deliver what they made."""
    from host import running  # numpy, onnx: not for what ends before this

    outcomes = []
    with jobs.batch() as folder:
        for each, directory, made in running.run(settings, source, engine, plans, identity, folder, screen):
            if isinstance(made, Fault):
                outcomes.append(Outcome(each, None, False, _logged(each, directory / "log.txt", made)))
            else:
                outcomes.append(_finish(settings, each, keys[each.chip], made, directory))
    return outcomes


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
    if fault := _wrong(settings, each, made):
        return Outcome(each, made, from_cache, _logged(each, entry / facts.LOG, fault))
    target = each.target
    texts = {
        "record": record.dump(facts.as_record(made, settings, each, entry)),
        "report": json.dumps(facts.as_report(made, each, from_cache), indent=2, ensure_ascii=False) + "\n",
    }
    earlier = {target.document(name): sha256 for name, sha256 in record.documents(target.record).items()}
    documents = {target.document(name): entry / facts.document(name) for name in made["documents"]}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        delivery.deliver(
            {
                **documents,
                target.log: entry / facts.LOG,
                target.report: Path(folder) / "report",
                target.record: Path(folder) / "record",
                target.artifact: entry / facts.ARTIFACT,
            }
        )
    target.failed_log.unlink(missing_ok=True)
    delivery.withdraw({path: sha256 for path, sha256 in earlier.items() if path not in documents})
    return Outcome(each, made, from_cache, None)


def _wrong(settings: Settings, each: Plan, made: Facts) -> Fault | None:
    """What is wrong with a result, unless it is allowed."""
    checks, placed = made["checks"], made["placement"]
    if checks is not None and checks["verdict"] == "dead" and not settings.allow_dead:
        hint = cures.of_dead_outputs(each, made["staged"]["prepared"], checks)
        return Fault("dead-output", checks["explanation"], hint)
    if placed is not None and placed["verdict"] == "missing" and not settings.allow_cpu:
        hint = f"{placed['advice']}. --allow-cpu keeps the file."
        return Fault("placement", placed["explanation"], hint)
    return None


def _logged(each: Plan, log: Path, fault: Fault) -> Fault:
    """The fault with the log of its job, kept beside where the result would have been."""
    if log.is_file():
        delivery.deliver({each.target.failed_log: log})
        fault.log = str(each.target.failed_log)
    return fault
