"""Whatever a toolkit does to its process, each job ends with a result that says what happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared import chips, contract, harness
from shared.contract import Event, Result
from tests import clockwork
from tests.conftest import require_python
from tests.unit.test_contract import JOB

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness runs on Linux only")

BEHAVIOURS = (*clockwork.BEFORE, "go well", "abort late", "nothing")
SLOW = ("hang", "hang suggesting", "need rule slowly")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.clockwork", *arguments]


ENVIRONMENT = {"PATH": os.environ["PATH"], **harness.FIXED}
"""As the harness leaves it after its restart, which goes to a toolkit's own package."""


def place(folder: Path, behaviour: str) -> Path:
    directory = folder / behaviour.replace(" ", "-")
    directory.mkdir()
    job = JOB._replace(
        config={"do": behaviour},
        timeout_s=1.0 if behaviour in SLOW else 60.0,
        memory_bytes=clockwork.HOARD_BYTES // 2,
    )
    contract.write_job(str(directory / "job.json"), job)
    return directory


LEGACY = chips.toolkit("legacy")


@pytest.fixture(scope="module", params=["", *chips.pythons(LEGACY)], ids=lambda old: old or "own")
def directories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """One job for every behaviour, run by one harness, several at once; on the old Pythons too."""
    python = require_python(request.param) if request.param else sys.executable
    preload = {clockwork.PRELOAD: "no"} if request.param else {}
    folder = tmp_path_factory.mktemp("jobs")
    placed = {behaviour: place(folder, behaviour) for behaviour in BEHAVIOURS}
    (folder / "foreign").mkdir()
    contract.write_job(str(folder / "foreign" / "job.json"), JOB._replace(contract=99))
    placed["foreign"] = folder / "foreign"
    done = subprocess.run(
        [python, *command("--jobs", "4", *map(str, placed.values()))[1:]],
        cwd=ROOT,
        env={**ENVIRONMENT, **preload},
        check=False,
        timeout=300,
    )
    assert done.returncode == 0
    return placed


def result(directory: Path) -> Result:
    return contract.read_result(str(directory / "result.json"))


def events(directory: Path) -> list[Event]:
    return [contract.read_event(line) for line in (directory / "events.jsonl").read_text().splitlines()]


def test_good_job(directories: Mapping[str, Path]) -> None:
    directory = directories["go well"]
    good = result(directory)
    assert good.fault is None
    assert good.artifact is not None
    assert (good.artifact.platform, good.simulated, good.retries) == ("rk3588", ["simulated.0.npy"], [])
    assert (directory / "out" / JOB.artifact).read_text() == "rk3588"
    assert (directory / "out" / "simulated.0.npy").exists()
    assert good.environment["clockwork"] == "1"
    assert good.environment["addresses_fixed"] is False
    assert set(good.durations_s) == {"load", "build", "check", "total"}


def test_memory_is_measured(directories: Mapping[str, Path]) -> None:
    """Of a job that is there when it is looked at, some milliseconds after its start."""
    assert result(directories["linger"]).peak_memory_bytes > 1 << 20


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("abort", "toolkit-crashed", "SIGABRT"),
        ("segfault", "toolkit-crashed", "SIGSEGV (stage: load)"),
        ("killed", "out-of-memory", "the system killed the toolkit"),
        ("exit", "toolkit-refused", "exit(0)"),
        ("exit at once", "toolkit-crashed", "exit status 0"),
        ("hang", "timeout", "not finished after 1 s"),
        ("hang suggesting", "timeout", "not finished after 1 s"),
        ("need rule slowly", "timeout", "not finished after 1 s"),
        ("hoard", "out-of-memory", "used more than 150 MB"),
        ("refuse", "toolkit-refused", "the real cause"),
        ("blame", "bad-option", "it is the user's"),
        ("never content", "toolkit-refused", "a rule failed"),
        ("nothing", "artifact-invalid", "no file"),
        ("nothing with words", "disk-full", "the disk is full"),
        ("lie", "toolkit-op", "useless"),
        ("classified", "disk-full", "the disk is full"),
        ("abort with words", "disk-full", "the disk is full"),
        ("foreign", "bad-option", "not a job of contract"),
    ],
)
def test_failure_becomes_a_fault(
    directories: Mapping[str, Path], behaviour: str, code: str, words: str
) -> None:
    bad = result(directories[behaviour])
    assert bad.artifact is None and bad.simulated == []
    assert bad.fault is not None
    assert bad.fault["code"] == code
    assert words in bad.fault["message"] and "\n" not in bad.fault["message"]
    assert bad.fault["hint"]
    assert bad.fault["log"] == "log.txt"
    assert not (directories[behaviour] / "out").exists()


def test_fault_of_the_driver_keeps_its_hint(directories: Mapping[str, Path]) -> None:
    bad = result(directories["blame"])
    assert bad.fault is not None
    assert bad.fault["hint"] == "Mend it."


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        command(str(tmp_path / "typo")),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"{tmp_path}/typo is no job directory that this user can write to\n")


@pytest.mark.parametrize(("preload", "in_child"), [("yes", False), ("no", True)])
def test_toolkit_is_imported_where_it_must(tmp_path: Path, preload: str, in_child: bool) -> None:
    directory = place(tmp_path, "go well")
    environment = {**ENVIRONMENT, clockwork.PRELOAD: preload}
    subprocess.run(command(str(directory)), cwd=ROOT, env=environment, check=True, timeout=300)
    assert result(directory).environment["imported_in_child"] is in_child


def test_what_is_shown_of_a_log_is_for_people(directories: Mapping[str, Path]) -> None:
    bad = result(directories["refuse"])
    assert bad.fault is not None
    assert bad.fault["log_tail"] == ["E build: it cannot be", "ValueError: the real cause"]
    assert "Traceback" in (directories["refuse"] / "log.txt").read_text()


def test_failed_attempt_is_repeated_with_what_the_toolkit_asks_for(directories: Mapping[str, Path]) -> None:
    good = result(directories["need rule"])
    assert good.fault is None
    assert good.retries == [{"reason": "rule bad failed", "config": {"rules": ["bad"]}}]
    stages = [(event.stage, event.text) for event in events(directories["need rule"])]
    assert stages.index(("load", "again: rule bad failed")) < stages.index(("build", ""))
    assert good.warnings == [], "those of the failed attempt"


def test_same_change_is_not_tried_twice(directories: Mapping[str, Path]) -> None:
    assert len(result(directories["never content"]).retries) == 1


def test_what_would_end_the_same_way_is_not_tried_again(directories: Mapping[str, Path]) -> None:
    assert result(directories["hang suggesting"]).retries == []


def test_file_of_a_broken_simulator_is_kept_with_a_warning(directories: Mapping[str, Path]) -> None:
    good = result(directories["abort late"])
    assert good.fault is None
    assert good.artifact is not None
    assert good.simulated == []
    assert "the simulator failed" in good.warnings[0] and "SIGABRT" in good.warnings[0]


def test_placement_is_read_from_the_log(directories: Mapping[str, Path]) -> None:
    placed = result(directories["tell"]).placement
    assert placed is not None
    assert (placed.internal_kb, placed.weight_kb) == (1.5, 2.5)
    assert result(directories["warn"]).placement is None


def test_warnings_of_the_log_are_kept(directories: Mapping[str, Path]) -> None:
    assert result(directories["warn"]).warnings == ["W careful"]


def test_stages_come_in_order_with_counts(directories: Mapping[str, Path]) -> None:
    seen = events(directories["count"])
    assert [event.stage for event in seen if event.stage != "quantize"] == ["load", "build", "check", "done"]
    counts = [event for event in seen if event.stage == "quantize"]
    assert counts[-1][1:] == ("quantize", "tensors", 50, 50)
    assert seen.index(counts[0]) == 1 and seen[len(counts) + 1].stage == "build"
    assert [event.time for event in seen] == sorted(event.time for event in seen)


def test_stopped_harness_leaves_no_child(tmp_path: Path) -> None:
    directory = place(tmp_path, "hang")
    contract.write_job(
        str(directory / "job.json"), JOB._replace(config={"do": "hang"}, timeout_s=600.0, memory_bytes=0)
    )
    process = subprocess.Popen(command(str(directory)), cwd=ROOT, env=ENVIRONMENT, start_new_session=True)
    while not (directory / "events.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    while members(process.pid):
        time.sleep(0.05)
    assert not (directory / "result.json").exists()


def members(group: int) -> list[str]:
    """The processes of a group that are not finished."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(number) == group and state != "Z":
            found.append(path.parent.name)
    return found


def test_no_exit_status_is_lost_among_many_children(tmp_path: Path) -> None:
    placed = [tmp_path / str(number) for number in range(60)]
    for directory in placed:
        directory.mkdir()
        contract.write_job(str(directory / "job.json"), JOB._replace(config={"do": "abort"}))
    subprocess.run(
        command("--jobs", "8", *map(str, placed)), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=300
    )
    faults = [result(directory).fault for directory in placed]
    assert [fault["message"] for fault in faults if fault and "SIGABRT" not in fault["message"]] == []
