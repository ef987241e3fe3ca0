"""Job directories are made for a run, followed while it works, and gone afterwards."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from host import jobs
from shared import contract
from shared.contract import Event, Result
from shared.faults import Fault
from tests.unit.test_contract import JOB, RESULT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RKFORGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jobs"


class Run:
    """A run that ends when it is told to."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.over = threading.Event()
        self.fault = fault

    def alive(self) -> bool:
        return not self.over.is_set()

    def failure(self) -> Fault | None:
        return self.fault


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "job"
    made.mkdir()
    yield made


def test_batch_folder_goes_whatever_happens(folder: Path) -> None:
    for error in (KeyboardInterrupt, Fault("internal", "a bug"), None):
        try:
            with jobs.batch() as made:
                (made / "job-0001" / "out").mkdir(parents=True)
                if error is not None:
                    raise error
        except (KeyboardInterrupt, Fault):
            pass
        assert list(folder.iterdir()) == []


def test_placed_job_has_its_inputs_without_copying_them(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    (inputs / "calibration").mkdir(parents=True)
    (inputs / "model.onnx").write_bytes(b"model")
    (inputs / "calibration" / "0.bmp").write_bytes(b"image")
    for name in ("one", "two"):
        jobs.place(tmp_path / name, JOB, inputs)
        assert contract.read_job(str(tmp_path / name / "job.json")) == JOB
    assert (tmp_path / "two" / "in" / "calibration" / "0.bmp").read_bytes() == b"image"
    assert (inputs / "model.onnx").stat().st_nlink == 3


def test_events_are_reported_whole_while_the_run_works(directory: Path) -> None:
    run, seen = Run(), []
    line = json.dumps(Event(1.0, "quantize", "größe", 1, 2)._asdict(), ensure_ascii=False) + "\n"

    def write() -> None:
        with (directory / "events.jsonl").open("wb") as stream:
            for byte in (line * 3).encode():  # every possible cut, within a character too
                stream.write(bytes([byte]))
                stream.flush()
            stream.write(b'{"half": ')
        run.over.set()

    def see(where: Path, event: Event) -> None:
        seen.append((where, event))

    writer = threading.Thread(target=write)
    writer.start()
    assert jobs.follow(run, [directory], see, deadline_s=60) is None
    writer.join()
    assert seen == [(directory, Event(1.0, "quantize", "größe", 1, 2))] * 3


def test_run_that_never_ends_is_given_up(directory: Path) -> None:
    fault = jobs.follow(Run(), [directory], lambda *_: None, deadline_s=0)
    assert fault is not None
    assert fault.code == "timeout"


def test_failure_of_the_run_as_a_whole_is_told(directory: Path) -> None:
    run = Run(Fault("engine-lost", "gone"))
    run.over.set()
    ended = jobs.follow(run, [directory], lambda *_: None, deadline_s=60)
    assert ended is run.fault
    with pytest.raises(Fault) as caught:
        jobs.result(directory, ended)
    assert caught.value is ended


def test_good_result_counts_even_if_the_run_ended_badly(directory: Path) -> None:
    contract.write_result(str(directory / "result.json"), RESULT)
    assert jobs.result(directory, Fault("engine-lost", "gone")) == RESULT


def test_fault_of_a_job_is_a_fault_again(directory: Path) -> None:
    fault = Fault("toolkit-crashed", "SIGABRT", log="log.txt", log_tail=["last words"])
    failed: Result = RESULT._replace(artifact=None, fault=fault.to_json())
    contract.write_result(str(directory / "result.json"), failed)
    with pytest.raises(Fault) as caught:
        jobs.result(directory, None)
    assert caught.value.to_json() == fault.to_json()


@pytest.mark.parametrize("text", [None, "", "{", "{}"])
def test_no_usable_result_is_a_bug_unless_the_run_says_why(directory: Path, text: str | None) -> None:
    if text is not None:
        (directory / "result.json").write_text(text)
    with pytest.raises(Fault) as caught:
        jobs.result(directory, None)
    assert caught.value.code == "internal"


@pytest.mark.parametrize(("free", "code"), [(1000, "disk-full"), (1 << 20, "internal")])
def test_missing_result_is_explained_by_a_full_disk(
    directory: Path, free: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(Fault) as caught:
        jobs.result(directory, None)
    assert caught.value.code == code


def test_running_batch_is_told_from_an_abandoned_one(folder: Path) -> None:
    (folder / "batch-old").mkdir(parents=True)
    (folder / "batch-old.lock").touch()
    with jobs.batch() as running:
        assert jobs.alive() == {running.name}
    assert jobs.alive() == set()
