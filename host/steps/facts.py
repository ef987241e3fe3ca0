"""All that is known about one finished conversion, wherever its files end up lying.

The facts are stored beside the artefact in the cache; the record (YAML) and the report (JSON) are made
from them at delivery, with paths as seen from there.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from host import paths
from host.calibration import listing
from host.graph import regressions
from host.plan import Plan
from host.quality.placement import judge
from host.results import record
from host.settings import Settings
from host.sources.fingerprint import file_digest, fingerprint
from host.sources.source import Source
from shared import chips
from shared.contract import Artifact, Job, Result

VERSION = "0.1.0"
FILE = "facts.json"
ARTIFACT = "artifact.rknn"
LOG = "log.txt"
SHAPELESS = {"commands", "engines", "console.py", "flags.py", "paths.py"}
"""The code in host/ that no result depends on: what is printed, and where environments come from."""

Facts = dict[str, Any]


class Identity(NamedTuple):
    """SHA-256 (hex) of what the user brought: the model with its data files, calibration set and labels."""

    model: str
    dataset: str | None
    labels: str | None


def identify(settings: Settings, source: Source) -> Identity:
    """The identity of a request's files; Fault model-* or dataset-* when they cannot be read."""
    dataset = listing.fingerprint(settings.dataset) if settings.dataset else None
    labels = file_digest(settings.labels).hex() if settings.labels else None
    return Identity(fingerprint(source), dataset, labels)


def code_digest() -> str:
    """SHA-256 over the host code that decides a result."""
    total = hashlib.sha256(VERSION.encode())
    host = paths.ROOT / "host"
    for path in sorted(host.rglob("*.py")):
        within = path.relative_to(host)
        if within.parts[0] not in SHAPELESS:
            total.update(within.as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def request(settings: Settings, each: Plan) -> dict[str, Any]:
    """The request for one chip as setting name -> text, paths aside, defaults filled in."""
    size = settings.size and f"{settings.size[0]}x{settings.size[1]}"
    hybrid = each.hybrid and json.dumps(dict(each.hybrid), sort_keys=True, ensure_ascii=False)
    values = {
        "chip": each.chip,
        "dtype": each.dtype,
        "head": each.preparation.head,
        "algorithm": settings.algorithm,
        "size": size,
        "color": ",".join(settings.color),
        "mean": _numbers(settings.mean),
        "std": _numbers(settings.std),
        "max-images": settings.max_images and str(settings.max_images),
        "resize": settings.resize,
        "memory": str(settings.memory_bytes),
        "toolkit-version": each.environment.version,
        "python": each.environment.python,
        "variant": each.environment.variant,
        "hybrid": "auto" if each.hybrid == {} else hybrid,
        "analysis": "true" if each.analysis else None,
        "inputs": ",".join(settings.inputs),
        "outputs": ",".join(settings.outputs),
        "input-sizes": ",".join("x".join(map(str, shape)) for shape in settings.input_sizes),
        "darknet": settings.darknet,
        "trust-pickle": "true" if settings.trust_pickle else None,
    }
    return {**{name: value for name, value in values.items() if value}, "set": dict(settings.config)}


def make(
    identity: Identity,
    each: Plan,
    job: Job,
    source: str,
    staged: Mapping[str, Any],
    result: Result,
    environment: Mapping[str, Any],
    checks: Mapping[str, Any] | None,
    origins: Mapping[str, str],
) -> Facts:
    """Gather the facts of a successful job.

    Args:
        identity: of the user's files.
        each: the plan that was carried out.
        job: what the toolkit was asked to do.
        source: the model's format.
        staged: what was staged, as `Staged.to_json`.
        result: with an artifact.
        environment: the engine's provenance.
        checks: `Checks.to_json`, or None when nothing could be simulated.
        origins: what the compiler's operators were made of, as `graph.origin` finds it.
    """
    assert isinstance(result.artifact, Artifact)
    toolkit = chips.toolkit(each.environment.toolkit)
    changes: dict[str, Any] = {}
    for retry in result.retries:
        changes.update(retry["config"])
    return {
        "rkforge": VERSION,
        "identity": identity._asdict(),
        "source": {"format": source, "route": each.route._asdict()},
        "staged": dict(staged),
        "toolkit": {
            "name": each.environment.toolkit,
            "version": result.artifact.toolkit_version or each.environment.version,
            "config": {**job.config, **changes},
            "left_out": regressions.reasons(job.config, toolkit.regressions.get(job.toolkit_version, {})),
            "quantize": job.quantize,
            "retries": result.retries,
        },
        "environment": {**environment, **result.environment},
        "artifact": {key: value for key, value in result.artifact._asdict().items() if key != "file"},
        "documents": result.documents,
        "checks": checks,
        "placement": _placement(each, result, origins),
        "warnings": [*staged["warnings"], *result.warnings],
        "durations_s": result.durations_s,
        "peak_memory_bytes": result.peak_memory_bytes,
    }


def _placement(each: Plan, result: Result, origins: Mapping[str, str]) -> dict[str, Any] | None:
    if result.placement is None:
        return None
    chip = chips.chip(each.chip)
    return judge(result.placement, each.quantize, chip.cpu_ops, chip.toolkit.cpu_advice, origins).to_json()


def document(name: str) -> str:
    """The name of a toolkit's further file in the cache."""
    return f"document.{name}"


def write(made: Facts, folder: Path) -> None:
    """Write facts.json."""
    text = json.dumps(made, indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text, encoding="utf-8")


def read(folder: Path) -> Facts:
    """The facts that `write` left in a folder."""
    made: Facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return made


def intact(folder: Path) -> bool:
    """Whether a stored result is still what was stored: disks fail, and people clean up by hand."""
    try:
        made, data = read(folder), (folder / ARTIFACT).read_bytes()
        others = [LOG, *map(document, made["documents"])]
        whole = all((folder / name).is_file() for name in others)
        return whole and hashlib.sha256(data).hexdigest() == made["artifact"]["sha256"]
    except (OSError, ValueError, KeyError):
        return False


def as_record(made: Facts, settings: Settings, each: Plan, entry: Path) -> dict[str, Any]:
    """The content of rknn_source.yaml for an entry of the cache; paths are relative to where it will lie."""
    home = each.target.record.parent
    asked = request(settings, each)
    model = [record.relative(path, home) for path in settings.models]
    named: dict[str, Any] = {"model": model[0] if len(model) == 1 else model}
    for name, path in (("dataset", settings.dataset), ("labels", settings.labels)):
        if path:
            named[name] = record.relative(path, home)
    staged = made["staged"]
    return {
        "rkforge": made["rkforge"],
        "request": {**named, **asked},
        "model": {"sha256": made["identity"]["model"], **made["source"], **staged["model"]},
        "labels": {"sha256": made["identity"]["labels"]},
        "prepared": staged["prepared"],
        "calibration": {"sha256": made["identity"]["dataset"], **staged["calibration"]},
        "toolkit": made["toolkit"],
        "artifact": {"file": each.target.artifact.name, **made["artifact"]},
        "documents": {name: file_digest(entry / document(name)).hex() for name in made["documents"]},
        "environment": made["environment"],
        "verdict": _verdict(made["checks"]),
    }


def _verdict(checks: Mapping[str, Any] | None) -> str:
    if checks is None:
        return "not simulated"
    return f"{checks['verdict']} (estimated)" if checks["estimate"] else str(checks["verdict"])


def as_report(made: Facts, each: Plan, from_cache: bool) -> dict[str, Any]:
    """The content of report.json: the result, how it compares with the float model, time and memory."""
    toolkit = chips.toolkit(each.environment.toolkit)
    failed = toolkit.simulator and made["checks"] is None
    return {
        "chip": each.chip,
        "dtype": each.dtype,
        "source": made["source"],
        "toolkit": made["toolkit"]["name"],
        "version": made["toolkit"]["version"],
        "family": list(chips.chip(each.chip).family),
        "artifact": {"path": str(each.target.artifact), **made["artifact"]},
        "documents": [str(each.target.document(name)) for name in made["documents"]],
        "checks": made["checks"],
        "checked_on": "nothing: the simulator or the source's own framework failed, and no board was involved"
        if failed
        else toolkit.checked_on,
        "board_command": board_command(each),
        "prepared": made["staged"]["prepared"],
        "notes": [*each.notes, *made["staged"]["notes"]],
        "warnings": made["warnings"],
        "left_out": made["toolkit"]["left_out"],
        "retries": made["toolkit"]["retries"],
        "cache": "hit" if from_cache else "miss",
        "durations_s": made["durations_s"],
        "peak_memory_bytes": made["peak_memory_bytes"],
        "placement": made["placement"],
    }


def board_command(each: Plan) -> str:
    """What checks the artefact on a board."""
    command = chips.toolkit(each.environment.toolkit).board_command
    return command.format(artifact=each.target.artifact, chip=each.chip)


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.9g}" for value in values)
