"""Runs jobs inside an environment so that nothing the vendor's code does can lose one.

A vendor build may abort, call exit(), eat all memory, hang, or print an error and return 0. So the
harness itself imports no vendor code: it keeps a fork server that has imported the toolkit once,
forks a child per attempt, watches its log, time and memory, and judges the attempt by the file it
left. What differs between toolkits comes in as a `Toolkit`; all else is here, once.

    python -m toolkit2 [--jobs N] JOB_DIR [JOB_DIR ...]
"""

import argparse
import ctypes
import multiprocessing
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from shared import contract
from shared.contract import Artifact, Event, Job, Placement, Result
from shared.faults import Fault
from shared.watch import COLLECTING, STAGE_MARK, Watch

ADDR_NO_RANDOMIZE = 0x0040000
FINAL = ("timeout", "out-of-memory", "disk-full")
"""Faults after which trying again would end the same way."""
LINE_BUFFERED = 1
"""_IOLBF of the C library."""
SETTLED = "RKFORGE_SETTLED"
FIXED = {
    "HOME": tempfile.gettempdir(),
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    # children find their modules by this variable only
    "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    # a child that dies takes along what it has not written
    "PYTHONUNBUFFERED": "1",
    SETTLED: "1",
}
"""The environment after `settle`, apart from the toolkit's own variables."""


class Retry(NamedTuple):
    """A change to the job's `config` with which a failed attempt may succeed."""

    reason: str
    config: Dict[str, Any]


class Toolkit(NamedTuple):
    """What the harness needs to know of a toolkit. Only `convert` may import vendor code."""

    module: str
    """Module with `convert(job, directory, enter, save)`, run in the child with the job directory as
    current directory: exports to `directory`, calls `enter(stage)` as it goes, and `save(**facts)`. Once
    `after` is saved the file is complete: what fails then is a warning that names `after`."""
    preload: bool
    """Whether the fork server imports the module, so that children need not. Without, each child is a new
    process: where the import may start threads, which a fork does not take along, and on Python 3.6, whose
    fork server does not know how a child ended."""
    environment: Dict[str, str]
    """Variables that must be set before the toolkit's process starts."""
    classify: Callable[[str, Optional[str]], Optional[Fault]]
    """The log of a failed attempt and its exception's text -> the fault a person should see."""
    verify: Callable[[Job, str], Artifact]
    """Reads the exported file back; raises a Fault when it is not what the job asked for."""
    progress: Callable[[str], Optional[Event]] = lambda _line: None
    """One line of the log -> an event, if it marks progress."""
    retry: Callable[[Job, str], Optional[Retry]] = lambda _job, _log: None
    """The log of a failed attempt -> what to change, if the toolkit itself suggests something."""
    hidden: Callable[[str], Optional[Fault]] = lambda _log: None
    """The log of an attempt that the toolkit called a success -> why it is none, if it is none."""
    warnings: Callable[[str], List[str]] = lambda _log: []
    """The log of a successful attempt -> lines worth repeating in the report."""
    placement: Callable[[str], Optional[Placement]] = lambda _log: None
    """The log of a successful attempt -> where the compiler put each operator."""


def main(toolkit: Toolkit, argv: List[str]) -> int:
    """Run the jobs named on the command line; 0 when each has a result, good or bad."""
    parser = argparse.ArgumentParser(prog="python -m " + toolkit.module.split(".")[0])
    parser.add_argument("--jobs", type=int, default=1, help="how many to run at once (default 1)")
    parser.add_argument("job", nargs="+", help="a job directory")
    options = parser.parse_args(argv)
    for job_dir in options.job:
        if not os.access(job_dir, os.W_OK):
            parser.error("%s is no job directory that this user can write to" % job_dir)
    aslr_off = settle(toolkit, argv)
    signal.signal(signal.SIGTERM, _stop)
    context = _forkserver(toolkit.module) if toolkit.preload else multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        runs = [
            pool.submit(run, toolkit, context, os.path.abspath(job_dir), aslr_off) for job_dir in options.job
        ]
        for done in runs:
            done.result()
    return 0


def _forkserver(module: str) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    first = context.Process(target=int)  # the first fork leaves traces in the server's memory
    first.start()
    first.join()
    return context


def _stop(number: int, _frame: Any) -> None:
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    os._exit(128 + number)


def settle(toolkit: Toolkit, argv: List[str]) -> bool:
    """Start this process anew with a fixed environment and, where allowed, fixed addresses.

    The toolkit leaks uninitialised memory into its files; the same addresses leave the same bytes.
    Returns whether address randomisation is off (a container's seccomp profile may refuse that).
    """
    libc = ctypes.CDLL(None)
    persona = libc.personality(ctypes.c_ulong(0xFFFFFFFF))
    if os.environ.get(SETTLED) is None:
        _restart(libc, persona, toolkit, argv)
    return persona != -1 and bool(persona & ADDR_NO_RANDOMIZE)


def _restart(libc: Any, persona: int, toolkit: Toolkit, argv: List[str]) -> None:
    libc.personality(ctypes.c_ulong(persona | ADDR_NO_RANDOMIZE))
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-m", toolkit.module.split(".")[0], *argv]
    os.execve(sys.executable, command, {**kept, **FIXED, **toolkit.environment})


def run(toolkit: Toolkit, context: Any, job_dir: str, aslr_off: bool) -> None:
    """Run one job to its result.json; every failure becomes a fault in it."""
    started = time.time()
    attempt = Attempt(None, {}, None)
    retries: List[Dict[str, Any]] = []
    watch = Watch(job_dir, toolkit.progress)
    try:
        job = _read(job_dir)
        while True:
            attempt = _attempt(toolkit, context, job_dir, job, len(retries) + 1, watch)
            again = None if attempt.fault is None else toolkit.retry(job, watch.text)
            if again is None or (attempt.fault and attempt.fault.code in FINAL):
                break
            retries.append({"reason": again.reason, "config": again.config})
            job = job._replace(config={**job.config, **again.config})
            watch.event("load", "again: " + again.reason)
    except Fault as unreadable:
        attempt = Attempt(None, {}, unreadable)
    except (OSError, ValueError) as error:
        attempt = Attempt(None, {}, Fault("internal", "cannot run %s: %s" % (job_dir, error)))
    artifact, report, fault = attempt
    if fault is not None:
        fault.log = "log.txt"
        fault.log_tail = fault.log_tail or watch.tail()
    environment = dict(report.get("environment", {}), machine=platform.machine(), addresses_fixed=aslr_off)
    result = Result(
        artifact=artifact,
        simulated=report.get("simulated", []) if artifact else [],
        reference=report.get("reference", []) if artifact else [],
        documents=report.get("documents", []) if artifact else [],
        retries=retries,
        warnings=(report.get("warnings", []) + toolkit.warnings(watch.text)) if artifact else [],
        environment=environment,
        peak_memory_bytes=watch.peak,
        durations_s={**report.get("durations_s", {}), "total": round(time.time() - started, 3)},
        fault=fault.to_json() if fault else None,
        placement=toolkit.placement(watch.text) if artifact else None,
    )
    contract.write_result(os.path.join(job_dir, "result.json"), result)
    watch.event("done")


def _read(job_dir: str) -> Job:
    """The job, which a person may have written; Fault bad-option for what is none."""
    try:
        return contract.read_job(os.path.join(job_dir, "job.json"))
    except (OSError, ValueError) as error:
        hint = "Write job.json as shared/contract.py describes it."
        raise Fault("bad-option", "cannot read the job in %s: %s" % (job_dir, error), hint) from None


class Attempt(NamedTuple):
    """How one child ended: the artefact, or the fault; and what the child itself reported."""

    artifact: Optional[Artifact]
    report: Dict[str, Any]
    fault: Optional[Fault]


def _attempt(toolkit: Toolkit, context: Any, job_dir: str, job: Job, number: int, watch: Watch) -> Attempt:
    directory = os.path.join(job_dir, "out.%d" % number)
    os.makedirs(directory, exist_ok=True)
    watch.begin()
    child = context.Process(target=_child, args=(toolkit.module, job_dir, job, number))
    with COLLECTING:
        child.start()
    fault = watch.until_end(child, job)
    path = os.path.join(directory, "attempt.json")
    report = contract.read_json(path) if os.path.exists(path) else {}
    if fault is None and "finished" not in report:
        fault = _explain(toolkit, child.exitcode, report, watch.text)
    if fault is not None and "after" in report:
        failed = "%s failed: %s" % (report["after"], fault.message)
        report["warnings"] = [*report.get("warnings", []), failed]
        fault = None
    if fault is not None:
        return Attempt(None, report, fault)
    try:
        artifact = toolkit.verify(job, os.path.join(directory, job.artifact))
    except Fault as invalid:
        return Attempt(None, report, toolkit.classify(watch.text, None) or invalid)
    hidden = toolkit.hidden(watch.text)
    if hidden is not None:
        return Attempt(None, report, hidden)
    final = os.path.join(job_dir, "out")
    shutil.rmtree(final, ignore_errors=True)
    os.rename(directory, final)
    return Attempt(artifact, report, None)


def _explain(toolkit: Toolkit, exitcode: int, report: Dict[str, Any], log: str) -> Fault:
    if "fault" in report:
        return Fault.from_json(report["fault"])
    error: Optional[str] = report.get("error")
    known = toolkit.classify(log, error)
    if known is not None:
        return known
    if exitcode == -signal.SIGKILL:
        return Fault("out-of-memory", "the system killed the toolkit, most likely because memory ran out")
    if exitcode < 0:
        name = signal.Signals(-exitcode).name
        return Fault("toolkit-crashed", "the toolkit crashed with %s%s" % (name, _stage(log)))
    if error is None:
        ended = "the toolkit ended the process with exit status %d%s" % (exitcode, _stage(log))
        return Fault("toolkit-crashed", ended)
    return Fault("toolkit-refused", error)


def _stage(log: str) -> str:
    """The stage that an attempt came to, as the end of a sentence; empty when it came to none."""
    stages = re.findall("^" + STAGE_MARK + "(.+)$", log, re.MULTILINE)
    return " (stage: %s)" % stages[-1] if stages else ""


def _child(module: str, job_dir: str, job: Job, number: int) -> None:
    """The forked child: vendor code runs here and nowhere else."""
    os.chdir(job_dir)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    libc = ctypes.CDLL(None)
    # whole lines of native code between those of Python, and none lost when the child dies
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, LINE_BUFFERED, 0)
    directory = "out.%d" % number
    report: Dict[str, Any] = {}
    times: Dict[str, float] = {}
    begun = [("", time.time())]

    def enter(stage: str) -> None:
        now = time.time()
        name, since = begun[-1]
        if name:
            times[name] = round(now - since, 3)
        begun.append((stage, now))
        if stage:
            os.write(1, ("\n%s%s\n" % (STAGE_MARK, stage)).encode())

    def save(**what: Any) -> None:
        report.update(what)
        contract.write_json(os.path.join(job_dir, directory, "attempt.json"), report)

    try:
        __import__(module, fromlist=["convert"]).convert(job, directory, enter, save)
        enter("")
        save(finished=True, durations_s=times)
    except Fault as fault:
        save(fault=fault.to_json())
    except BaseException as error:
        traceback.print_exc()
        save(error=_last_line(error))
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # the toolkit's native lines would be lost with the process
    os._exit(0)


def _last_line(error: BaseException) -> str:
    """The toolkit raises errors whose text is a whole traceback; its last line is the cause."""
    if isinstance(error, SystemExit):
        return "the toolkit called exit(%s)" % error.code
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =-")]
    return re.sub(r"^\w+Error: ", "", lines[-1]) if lines else type(error).__name__
