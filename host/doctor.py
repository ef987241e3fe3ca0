"""What this machine has, and what a conversion here would use and why."""

import platform
import shutil
from dataclasses import dataclass

from host import engines, paths
from host.console import Screen
from host.engines import local, recipe
from host.plan import environment_of
from shared import chips
from shared.faults import Fault

ENOUGH_BYTES = 8 * 10**9
"""A build needs about three times what it leaves: wheels, layers, result."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, whether it is fine, and what was seen."""

    name: str
    fine: bool
    seen: str


def show(engine_name: str, screen: Screen, as_json: bool) -> int:
    """Print the findings; exit status 4 when no conversion could run here."""
    findings = [_machine(), _docker(), _pythons(), _disk(), *_environments(engine_name)]
    able = findings[-1].fine
    if as_json:
        screen.json({"able": able, "findings": [vars(finding) for finding in findings]})
    else:
        rows = [["ok" if finding.fine else "no", finding.name, finding.seen] for finding in findings]
        screen.table(["", "what", "seen"], rows)
    return 0 if able else 4


def _machine() -> Finding:
    fits = platform.system() == "Linux" and platform.machine() == "x86_64"
    seen = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Finding("machine", True, seen if fits else f"{seen}: Docker only, images are linux/amd64")


def _docker() -> Finding:
    try:
        from host.engines.docker import DockerEngine

        return Finding("docker", True, f"engine {DockerEngine().version()}")
    except Fault as fault:
        return Finding("docker", False, fault.message)


def _pythons() -> Finding:
    wanted = [
        version for toolkit in chips.toolkits().values() if toolkit.driver for version in toolkit.pythons
    ]
    found = [version for version in dict.fromkeys(wanted) if local.find_python(version)]
    seen = ", ".join(found) or f"none of {', '.join(wanted)}"
    return Finding("python for the local engine", bool(found), seen)


def _disk() -> Finding:
    paths.cache().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.cache()).free
    return Finding("disk", free > ENOUGH_BYTES, f"{free / 1e9:.0f} GB free in {paths.cache()}")


def _environments(engine_name: str) -> list[Finding]:
    """The default environment of each toolkit on the engine that would be used; last, that engine itself."""
    try:
        engine, why = engines.choose(engine_name)
    except Fault as fault:
        return [Finding("would use", False, fault.message)]
    findings = []
    for toolkit in chips.toolkits().values():
        if not toolkit.driver:
            continue
        environment = environment_of(toolkit, engine.default_python)
        try:
            seen = "built" if engine.ready(environment) else "will be built by the first conversion"
            fine = True
        except Fault as fault:
            seen, fine = f"{fault.message}. {fault.hint}", False
        digest = recipe.locks_digest(environment)[:12]
        findings.append(Finding(environment.image, fine, f"{seen}; lock {digest}"))
    return [*findings, Finding("would use", True, f"the {engine.name} engine: {why}")]
