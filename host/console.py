"""The screen: results on stdout, everything else on stderr, and no animation without a terminal."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.contract import Event
from shared.faults import Fault


class Screen:
    """Messages and progress of one command. `NO_COLOR` is honoured by rich."""

    def __init__(self) -> None:
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = self._err.status("") if self._err.is_terminal else None
        self._stages: dict[str, Event] = {}

    def say(self, text: str) -> None:
        """One line about what goes on."""
        self._err.print(escape(text))

    def warn(self, text: str) -> None:
        """One line that should not be missed."""
        self._err.print(f"[bold yellow]warning:[/] {escape(text)}")

    def fault(self, fault: Fault, about: str = "") -> None:
        """What happened, where the log is and how it ends, and what to do: the last line."""
        for line in fault.log_tail:
            self._err.print(f"  [dim]| {escape(line)}[/]")
        if fault.log:
            self._err.print(f"  log: {escape(fault.log)}")
        name = f"{about}: " if about else ""
        self._err.print(f"[bold red]error:[/] {escape(name + fault.message)} [dim]\\[{fault.code}][/]")
        self._err.print(f"[bold]what to do:[/] {escape(fault.hint)}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """While jobs run: a moving line on a terminal, nothing elsewhere."""
        if self._status is None:
            yield
            return
        with self._status:
            yield

    def stage(self, job: str, event: Event) -> None:
        """A job entered a stage or moved on in it; a finished stage is one line with its time."""
        before = self._stages.get(job)
        if before is not None and before.stage != event.stage:
            count = f"{before.total}/{before.total} {before.text}" if before.total else before.text
            seconds = event.time - before.time
            self._err.print(escape(f"  {job:<16} {before.stage:<9} {seconds:6.1f} s  {count}".rstrip()))
        if before is None or before.stage != event.stage:
            self._stages[job] = event
        else:
            self._stages[job] = event._replace(time=before.time, text=event.text or before.text)
        if self._status is not None:
            self._status.update(escape("; ".join(map(_line, self._stages.items()))))

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        """A table on stdout; plain columns when stdout is not a terminal."""
        out = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*map(escape, row))
        out.print(table)

    def print(self, text: str) -> None:
        """A line of the result, on stdout."""
        print(text, flush=True)

    def json(self, document: Any) -> None:
        """The one document of --json, on stdout."""
        print(json.dumps(document, indent=2, ensure_ascii=False, default=str), flush=True)


def _line(entry: tuple[str, Event]) -> str:
    job, event = entry
    return f"{job}: {event.stage}" + (f" {event.done}/{event.total}" if event.total else "")
