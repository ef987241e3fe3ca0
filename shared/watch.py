"""Follows a child: its log as it grows, its time, its memory; and turns what it sees into events."""

import os
import re
import signal
import threading
import time
from multiprocessing import connection
from typing import Any, Callable, List, Optional

from shared import contract
from shared.contract import Event, Job
from shared.faults import Fault
from shared.text import COLOUR

POLL_S = 0.05
COLLECTING = threading.Lock()
"""Held while children start or are asked for their end: multiprocessing asks after all of them whenever one
starts, and of two threads that read the same child's exit status the second gets a wrong one."""
LOG_TAIL_LINES = 15
STAGE_MARK = "rkforge stage: "
"""Begins a line of the log that marks a stage the child enters: in order with the toolkit's own lines."""
NOISE = re.compile(r"\s|D |[=-]*$|.*Traceback \(most recent call last\)|.*\d+/\d+\s*$|" + STAGE_MARK)
"""A log's lines that a person need not see: debugging, rules, frames of tracebacks, progress bars, stages."""


class Watch:
    """Follows a child's log, time and memory, and writes the job's events."""

    def __init__(self, job_dir: str, progress: Callable[[str], Optional[Event]]) -> None:
        self.log = os.path.join(job_dir, "log.txt")
        self.events = os.path.join(job_dir, "events.jsonl")
        self.progress = progress
        self.peak = 0
        self._began = time.time()
        self.text = ""
        self._partial = ""
        self._read = 0
        self._last: Optional[Event] = None

    def begin(self) -> None:
        """Start a new attempt: what the log holds by now belongs to the earlier one."""
        self._read = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.text = self._partial = ""

    def event(self, stage: str, text: str = "", done: int = 0, total: int = 0) -> None:
        """Append an event."""
        contract.append_event(self.events, Event(time.time(), stage, text, done, total))

    def until_end(self, child: Any, job: Job) -> Optional[Fault]:
        """Wait for the child; stop it, and say why, when it passes the job's time or memory."""
        deadline = self._began + job.timeout_s
        fault = None
        while not _ended(child):
            resident = _resident_bytes(child.pid)
            self.peak = max(self.peak, resident)
            if time.time() > deadline:
                fault = Fault("timeout", "not finished after %g s" % job.timeout_s)
            elif job.memory_bytes and resident > job.memory_bytes:
                fault = Fault("out-of-memory", "the toolkit used more than %d MB" % (job.memory_bytes >> 20))
            if fault is not None:
                os.kill(child.pid, signal.SIGKILL)
                with COLLECTING:
                    child.join()
                break
            connection.wait([child.sentinel], POLL_S)
            self._follow()
        self._follow()
        self.text += self._partial
        return fault

    def tail(self) -> List[str]:
        """The last lines of this attempt's log that say something."""
        lines = COLOUR.sub("", self.text).splitlines()
        return [line.rstrip() for line in lines if not NOISE.match(line)][-LOG_TAIL_LINES:]

    def _follow(self) -> None:
        if not os.path.exists(self.log):
            return
        with open(self.log, "rb") as stream:
            stream.seek(self._read)
            data = stream.read()
        self._read += len(data)
        lines = (self._partial + data.decode("utf-8", "replace").replace("\r", "\n")).split("\n")
        self._partial = lines.pop()
        self.text += "".join(line + "\n" for line in lines)
        marks = [event for event in map(self._mark, lines) if event is not None]
        for event, following in zip(marks, [*marks[1:], None]):
            if event != self._last and (following is None or following.stage != event.stage):
                self._last = event
                self.event(*event[1:])

    def _mark(self, line: str) -> Optional[Event]:
        if line.startswith(STAGE_MARK):
            return Event(0.0, line[len(STAGE_MARK) :], "", 0, 0)
        return self.progress(line)


def _ended(child: Any) -> bool:
    with COLLECTING:
        return not child.is_alive()


def _resident_bytes(pid: int) -> int:
    try:
        with open("/proc/%d/statm" % pid) as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
