"""Job directories on the host: made for one run, followed while it works, gone afterwards."""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from host import paths
from host.engines.protocol import Running
from shared import contract
from shared.contract import Event, Job, Result
from shared.faults import Fault

POLL_S = 0.1
GRACE_S = 120
"""For what a run does besides its jobs, which watch their own time."""
FULL_BYTES = 1 << 16
"""With less than this left, a missing result needs no other explanation."""


@contextmanager
def batch() -> Iterator[Path]:
    """A folder for the job directories of one run; removed at the end, come what may.

    A lock beside it, there before it is, tells `invoke clean` that the run is alive.
    """
    folder().mkdir(parents=True, exist_ok=True)
    made = folder() / f"batch-{uuid.uuid4().hex}"
    lock = filelock.FileLock(made.with_suffix(".lock"))
    try:
        with lock:
            made.mkdir(mode=0o700)
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)


def folder() -> Path:
    """Where the runs' folders lie."""
    return paths.cache() / "jobs"


def alive() -> set[str]:
    """The names of the folders whose runs still work."""
    return held(folder())


def held(where: Path) -> set[str]:
    """The names, without suffix, of the locks in a folder that somebody holds."""
    names = set()
    for lock in where.glob("*.lock"):
        try:
            with filelock.FileLock(lock, timeout=0):
                pass
        except filelock.Timeout:
            names.add(lock.stem)
    return names


def place(directory: Path, job: Job, *inputs: Path) -> None:
    """Make a job directory whose in/ has the files of all `inputs`, linked where the file system can."""
    for each in inputs:
        shutil.copytree(each, directory / "in", copy_function=_link, dirs_exist_ok=True)
    contract.write_job(str(directory / "job.json"), job)


def follow(
    running: Running, directories: Sequence[Path], on_event: Callable[[Path, Event], None], deadline_s: float
) -> Fault | None:
    """Report events until the run ends; the fault that ended it as a whole, if one did."""
    deadline = time.monotonic() + deadline_s
    read = dict.fromkeys(directories, 0)
    while True:
        alive = running.alive()
        for directory in directories:
            read[directory] = _report(directory, read[directory], on_event)
        if not alive:
            return running.failure()
        if time.monotonic() > deadline:
            return Fault("timeout", f"the run did not end within {deadline_s:.0f} s")
        time.sleep(POLL_S)


def result(directory: Path, ended: Fault | None) -> Result:
    """A job's good result.

    Args:
        directory: the job's.
        ended: what ended the run as a whole, if anything did.

    Raises:
        Fault: why there is none.
    """
    try:
        found = contract.read_result(str(directory / "result.json"))
    except (OSError, ValueError):
        if shutil.disk_usage(directory).free < FULL_BYTES:
            raise Fault("disk-full", f"no space left for {directory}") from None
        raise ended or Fault("internal", f"the job in {directory.name} left no result") from None
    if found.fault:
        raise Fault.from_json(found.fault)
    return found


def _report(directory: Path, start: int, on_event: Callable[[Path, Event], None]) -> int:
    """Report the whole lines of events.jsonl from byte `start`; where to go on."""
    try:
        with (directory / "events.jsonl").open("rb") as stream:
            stream.seek(start)
            data = stream.read()
    except FileNotFoundError:
        return start
    whole = data[: data.rfind(b"\n") + 1]
    for line in whole.decode("utf-8").splitlines():
        on_event(directory, contract.read_event(line))
    return start + len(whole)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
