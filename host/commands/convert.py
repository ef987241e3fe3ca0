"""The `convert` command: what it prints before, while and after a request is carried out."""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from host import config, conversion, engines, plan, routes
from host.commands.verdicts import show_checks, show_placement
from host.console import Screen
from host.conversion import Outcome
from host.engines.protocol import Engine
from host.plan import Plan
from host.results import record
from host.settings import Settings
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from host.steps import facts
from shared import chips
from shared.faults import Fault

INCONCLUSIVE = (
    "made again, with other bytes. That says nothing: two builds of one model may differ, and rkforge knows "
    "no digest of this toolkit's files that would be the same for both"
)


def preview(settings: Settings, screen: Screen, as_json: bool) -> int:
    """--dry-run: what would be done, without reading more of the model than tells its format."""
    engine, why, source, plans = _plan(settings, screen)
    if as_json:
        planned = [each.to_json() for each in plans]
        screen.json({"status": "planned", "engine": engine.name, "format": source.format, "plans": planned})
        return 0
    screen.print(f"model     {source.main} ({chips.formats()[source.format].title})")
    screen.print(f"dataset   {settings.dataset or 'none'}")
    screen.print(f"engine    {engine.name}: {why}")
    rows = [[each.name, each.environment.image, str(each.target.artifact)] for each in plans]
    screen.table(["job", "environment", "artefact"], rows)
    for each in plans:
        screen.print(
            f"{each.name}: config({', '.join(f'{key}={value!r}' for key, value in each.config.items())})"
        )
        passes = f", {', '.join(each.preparation.quirks)} for the chip" if each.preparation.quirks else ""
        screen.print(f"{each.name}: head {each.preparation.head}{passes}")
        if each.route.by != routes.ONNX:
            screen.print(f"{each.name}: {each.route}")
        if each.hybrid is not None:
            screen.print(f"{each.name}: hybrid {dict(each.hybrid) or 'as the toolkit proposes'}")
    return 0


def run(settings: Settings, screen: Screen, as_json: bool) -> int:
    """Convert and print the result; the exit status of the first fault, or 0."""
    started = time.monotonic()
    engine, _, source, plans = _plan(settings, screen)
    outcomes = conversion.convert(settings, source, engine, plans, screen)
    _show(outcomes, engine, time.monotonic() - started, screen, as_json)
    return next((outcome.fault.exit_status for outcome in outcomes if outcome.fault), 0)


def repeat(path: Path, flags: Mapping[str, Any], screen: Screen, as_json: bool) -> int:
    """--from: build again what a record describes, and compare with what it recorded."""
    started = time.monotonic()
    recorded = record.read(path)
    asked = dict(recorded["request"])
    changes = config.spelled(asked.pop("set"))
    own = {name: flags.get(name) for name in ("engine", "output", "timeout", "jobs") if flags.get(name)}
    for name in ("model", "dataset", "labels"):
        if asked.get(name):
            named = asked[name] if isinstance(asked[name], list) else [asked[name]]
            asked[name] = os.pathsep.join(str(path.parent / each) for each in named)
    with tempfile.TemporaryDirectory() as scratch:
        wanted = {"output": scratch, **asked, **own}
        settings = config.resolve(wanted, changes, Path(scratch), {})
        settings = replace(settings, cache=False, allow_dead=True, allow_cpu=True)
        engine, _, source, plans = _plan(settings, screen)
        _compare_inputs(recorded, facts.identify(settings, source))
        outcomes = conversion.convert(settings, source, engine, plans, screen)
    outcome = outcomes[0]
    if outcome.facts is None:
        raise outcome.fault or Fault("internal", "the repeated conversion ended without a result")
    before, now = recorded["artifact"], outcome.facts["artifact"]
    digest = now["canonical_digest"]
    same_bytes = before["sha256"] == now["sha256"]
    same = None if digest is None else digest == before.get("canonical_digest")
    same = same_bytes or same
    if as_json:
        document = _document(outcomes, engine, time.monotonic() - started)
        screen.json({**document, "reproduced": same, "identical_bytes": same_bytes})
    differences = record.differences(recorded["environment"], outcome.facts["environment"])
    told = differences or ["the environments are the same"]
    if same is False:
        raise Fault(
            "not-reproduced",
            f"canonical digest {digest}, recorded {before.get('canonical_digest')}\n  " + "\n  ".join(told),
        )
    if same is None:
        screen.warn(f"{INCONCLUSIVE}: sha256 {now['sha256']}, recorded {before['sha256']}; {'; '.join(told)}")
    elif not as_json:
        screen.print(f"canonical digest  {digest or 'not available: compared byte by byte'}")
        screen.print(f"reproduced: {'identical bytes' if same_bytes else 'same canonical digest'}")
    return 0


def _plan(settings: Settings, screen: Screen) -> tuple[Engine, str, Source, list[Plan]]:
    engine, why = engines.choose(settings.engine)
    source = recognise(settings.models)
    plans = plan.make(settings, source, engine.default_python)
    screen.say(f"engine {engine.name}: {why}")
    for each in plans:
        for note in each.notes:
            screen.warn(note)
    return engine, why, source, plans


def _compare_inputs(recorded: Mapping[str, Any], identity: facts.Identity) -> None:
    changed = [
        name
        for name, before, now in (
            ("model", recorded["model"]["sha256"], identity.model),
            ("dataset", recorded["calibration"].get("sha256"), identity.dataset),
            ("labels", recorded["labels"].get("sha256"), identity.labels),
        )
        if before != now
    ]
    if changed:
        raise Fault(
            "not-reproduced",
            f"the {' and the '.join(changed)} changed since the record was written",
            "Restore the files that were recorded, or convert anew.",
        )


def _show(outcomes: list[Outcome], engine: Engine, seconds: float, screen: Screen, as_json: bool) -> None:
    for outcome in outcomes:
        if outcome.facts is not None:
            # what was known before the build was said then
            told = [] if outcome.from_cache else outcome.facts["staged"]["prepared"]["warnings"]
            for line in outcome.facts["warnings"]:
                if line not in told:
                    screen.warn(f"{outcome.plan.name}: {line}")
            show_checks(outcome, screen)
            show_placement(outcome, screen)
        if outcome.fault is not None:
            screen.fault(outcome.fault, outcome.plan.name)
    if as_json:
        screen.json(_document(outcomes, engine, seconds))
        return
    for outcome in outcomes:
        if outcome.fault is None and outcome.facts is not None:
            artifact = outcome.facts["artifact"]
            how = "from the cache" if outcome.from_cache else f"{seconds:.1f} s"
            screen.print(f"{outcome.plan.target.artifact}  {artifact['size']} bytes  {how}")
            screen.print(f"  sha256            {artifact['sha256']}")
            screen.print(f"  canonical digest  {artifact['canonical_digest'] or 'not available'}")
            for name in outcome.facts["documents"]:
                screen.print(f"  also              {outcome.plan.target.document(name)}")
    good = [outcome for outcome in outcomes if outcome.fault is None]
    if good:
        first = good[0].plan
        screen.say(f"next: invoke inspect {first.target.artifact}")
        if not chips.toolkit(first.environment.toolkit).simulator:
            screen.say(f"next: with the board connected: {facts.board_command(first)}")


def _document(outcomes: list[Outcome], engine: Engine, seconds: float) -> dict[str, Any]:
    failures = [
        {"chip": outcome.plan.chip, "dtype": outcome.plan.dtype, **outcome.fault.to_json()}
        for outcome in outcomes
        if outcome.fault is not None
    ]
    document: dict[str, Any] = {
        "status": "failed" if failures else "ok",
        "artifacts": [_artifact(outcome) for outcome in outcomes if outcome.fault is None],
        "checks": [
            {"chip": outcome.plan.chip, "dtype": outcome.plan.dtype, **(outcome.facts["checks"] or {})}
            for outcome in outcomes
            if outcome.facts is not None
        ],
        "placements": [
            {"chip": outcome.plan.chip, "dtype": outcome.plan.dtype, **outcome.facts["placement"]}
            for outcome in outcomes
            if outcome.facts is not None and outcome.facts["placement"]
        ],
        "cache": "hit" if all(outcome.from_cache for outcome in outcomes) else "miss",
        "engine": engine.name,
        "duration_s": round(seconds, 3),
    }
    if failures:
        document["fault"] = failures[0]
        document["failures"] = failures
    return document


def _artifact(outcome: Outcome) -> dict[str, Any]:
    assert outcome.facts is not None
    each, made = outcome.plan, outcome.facts
    return {
        "path": str(each.target.artifact),
        "chip": each.chip,
        "toolkit": each.environment.toolkit,
        "version": each.environment.version,
        "dtype": each.dtype,
        "size": made["artifact"]["size"],
        "sha256": made["artifact"]["sha256"],
        "canonical_digest": made["artifact"]["canonical_digest"],
        "record": str(each.target.record),
        "report": str(each.target.report),
        "documents": [str(each.target.document(name)) for name in made["documents"]],
        "cache": "hit" if outcome.from_cache else "miss",
        "warnings": made["warnings"],
    }
