"""What every engine offers: it owns the environments and runs job directories in them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from host.plan import Environment
from shared.faults import Fault

Say = Callable[[str], None]
"""Receives one line about work that takes a while."""


@dataclass(frozen=True)
class Limits:
    """What a run may use: how many jobs at once, and resident memory per job."""

    jobs: int
    memory_bytes: int


class Running(Protocol):
    """A harness at work on a batch of jobs."""

    def alive(self) -> bool:
        """Whether it still runs; Fault engine-lost when nobody can tell any more."""

    def failure(self) -> Fault | None:
        """After the end: why it ended badly as a whole, if it did."""


class Engine(Protocol):
    """A way to run a toolkit. Leaving `start`'s context always ends and removes what was started."""

    name: str
    isolated: bool
    """Whether what runs is kept from the network and from the user's files."""

    def default_python(self, pythons: Sequence[str]) -> str:
        """Which of these Python versions to use when the user names none; the table prefers the first."""

    def ready(self, environment: Environment) -> bool:
        """Whether the environment is built; Fault environment-outdated when it speaks another contract."""

    def build(self, environment: Environment, say: Say, torch_source: str = "") -> None:
        """Build the environment; Fault environment-build with the log's path when that fails."""

    def provenance(self, environment: Environment) -> dict[str, Any]:
        """What a built environment consists of: image id and base digest, or interpreter."""

    def start(
        self, environment: Environment, batch: Path, names: Sequence[str], limits: Limits
    ) -> AbstractContextManager[Running]:
        """Run the job directories `names` in `batch`."""
