"""A toolkit that fails on command: what the harness is tested with.

`python -m tests.clockwork [--jobs N] JOB_DIR ...`; a job's config says what goes wrong: {"do": "abort"}.
Runs on Python 3.6, as the harness does.
"""

import ctypes
import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from shared import harness, watch
from shared.contract import Artifact, Event, Job, Placement
from shared.faults import Fault

HOARD_BYTES = 300 << 20
PRELOAD = "CLOCKWORK_PRELOAD"
IMPORTED_IN = os.getpid()
TRACEBACK = """Traceback (most recent call last):
  File "vendor.py", line 1, in build
ValueError: the real cause
======"""

Enter = Callable[[str], None]
Save = Callable[..., None]


def convert(job: Job, directory: str, enter: Enter, save: Save) -> None:
    """Do what the job's config says, then export a file as a toolkit would."""
    save(environment={"clockwork": "1", "imported_in_child": os.getpid() == IMPORTED_IN})
    enter("load")
    before = BEFORE.get(job.config["do"])
    if before:
        before(job)
    enter("build")
    if not job.config["do"].startswith("nothing"):
        (Path(directory) / job.artifact).write_text(job.chip)
    enter("check")
    save(after="the simulator")
    if job.config["do"] == "abort late":
        os.abort()
    (Path(directory) / "simulated.0.npy").touch()
    save(simulated=["simulated.0.npy"])


def _blame(_job: Job) -> None:
    raise Fault("bad-option", "it is the user's", "Mend it.")


def _refuse(_job: Job) -> None:
    print("\x1b[31mE build: it cannot be\x1b[0m", file=sys.stderr)
    raise ValueError(TRACEBACK)


def _hoard(_job: Job) -> None:
    kept = b"x" * HOARD_BYTES
    time.sleep(60)
    del kept


def _need_rule(job: Job) -> None:
    if "bad" not in job.config.get("rules", []):
        print("W careful")
        print("try rules=bad")
        raise ValueError("a rule failed")


def _never_content(_job: Job) -> None:
    print("try rules=bad")
    raise ValueError("a rule failed")


def _hang_suggesting(_job: Job) -> None:
    print("try rules=bad")
    time.sleep(60)


def _need_rule_slowly(job: Job) -> None:
    """Twice within the job's time, but not both times together."""
    time.sleep(0.6 * job.timeout_s)
    _need_rule(job)


def _count(_job: Job) -> None:
    for done in range(1, 51):
        sys.stderr.write(f"\rcount {done}/50")
    sys.stderr.write("\n")


def _abort_with_words(_job: Job) -> None:
    ctypes.CDLL(None).puts(b"disk full")
    os.abort()


BEFORE: Dict[str, Callable[[Job], Any]] = {
    "abort": lambda _: os.abort(),
    "abort with words": _abort_with_words,
    "tell": lambda _: print("table"),
    "segfault": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _: sys.exit(0),
    "exit at once": lambda _: os._exit(0),
    "hang": lambda _: time.sleep(60),
    "hang suggesting": _hang_suggesting,
    "hoard": _hoard,
    "linger": lambda _: time.sleep(10 * watch.POLL_S),
    "refuse": _refuse,
    "blame": _blame,
    "need rule": _need_rule,
    "need rule slowly": _need_rule_slowly,
    "never content": _never_content,
    "count": _count,
    "lie": lambda _: print("useless"),
    "warn": lambda _: print("W careful"),
    "nothing with words": lambda _: print("disk full"),
    "classified": lambda _: [print("disk full"), os.abort()],
}


def verify(job: Job, path: str) -> Artifact:
    try:
        data = Path(path).read_bytes()
    except OSError:
        raise Fault("artifact-invalid", "no file") from None
    return Artifact(job.artifact, len(data), hashlib.sha256(data).hexdigest(), None, 0, job.chip, "1")


def progress(line: str) -> Optional[Event]:
    found = re.match(r"count (\d+)/(\d+)", line)
    return Event(0.0, "quantize", "tensors", int(found[1]), int(found[2])) if found else None


def retry(job: Job, log: str) -> Optional[harness.Retry]:
    if "try rules=bad" in log and "bad" not in job.config.get("rules", []):
        return harness.Retry("rule bad failed", {"rules": ["bad"]})
    return None


TOOLKIT = harness.Toolkit(
    module="tests.clockwork",
    preload=os.environ.get(PRELOAD) != "no",
    environment={},
    progress=progress,
    retry=retry,
    classify=lambda log, _: Fault("disk-full", "the disk is full") if "disk full" in log else None,
    hidden=lambda log: Fault("toolkit-op", "useless") if "useless" in log else None,
    verify=verify,
    placement=lambda log: Placement([], 1.5, 2.5, {}) if "table" in log else None,
    warnings=lambda log: [line for line in log.splitlines() if line.startswith("W ")],
)

if __name__ == "__main__":
    sys.exit(harness.main(TOOLKIT, sys.argv[1:]))
