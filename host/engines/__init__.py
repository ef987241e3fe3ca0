"""The engines: docker and local, behind one protocol. `choose` is the only place that names them."""

import platform

from host.engines.protocol import Engine, Say
from host.plan import Environment
from host.settings import ENGINES
from shared import chips
from shared.faults import Fault


def choose(name: str) -> tuple[Engine, str]:
    """The engine for `auto`, `docker` or `local`, and a line that says why this one.

    Raises:
        Fault: bad-option for another name; engine-missing when the one asked for, or any, cannot be had.
    """
    if name not in ENGINES:
        raise Fault("bad-option", f"--engine: {chips.unknown('engine', name, list(ENGINES))}")
    reason = "asked for"
    if name in ("auto", "docker"):
        from host.engines.docker import DockerEngine

        try:
            engine = DockerEngine()
            return engine, "a Docker engine answers" if name == "auto" else reason
        except Fault as fault:
            if name == "docker":
                raise
            reason = fault.message
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Fault(
            "engine-missing",
            f"{reason}, and the local engine needs Linux on x86_64",
            "Install and start Docker.",
        )
    from host.engines.local import LocalEngine

    return LocalEngine(), reason


def require(engine: Engine, environment: Environment, say: Say) -> None:
    """Build the environment if it is not there or holds older code; raises as `Engine.build`."""
    if not engine.ready(environment):
        engine.build(environment, say)
