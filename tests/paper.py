"""An engine of paper for unit tests: its environments are there, and its jobs leave what the test writes."""

from collections.abc import Sequence
from typing import Any

from host.engines.protocol import Say
from host.plan import Environment
from shared.faults import Fault


class Idle:
    """A harness that has ended already."""

    def alive(self) -> bool:
        return False

    def failure(self) -> Fault | None:
        return None


class Paper:
    """All of an engine but `start`."""

    name = "paper"
    isolated = True

    def default_python(self, pythons: Sequence[str]) -> str:
        return pythons[0]

    def ready(self, _: Environment) -> bool:
        return True

    def build(self, environment: Environment, _: Say, __: str = "") -> None:
        raise AssertionError(f"{environment} is ready")

    def provenance(self, _: Environment) -> dict[str, Any]:
        return {"engine": self.name}
