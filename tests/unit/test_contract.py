"""Host and environment understand each other, and notice when they would not."""

import json
from pathlib import Path

import pytest

from shared import contract
from shared.contract import Artifact, Event, Job, Operator, Placement, Result, Source

JOB = Job(
    contract=contract.CONTRACT,
    chip="rk3588",
    toolkit_version="2.5.0",
    source=Source("onnx", {"model": "in/model.onnx"}, [], [], []),
    config={"target_platform": "rk3588", "mean_values": [[0.5, 1e-9, 255.0]], "custom_string": "größe"},
    quantize=True,
    dataset="in/calibration.txt",
    heldout=["in/heldout.0.npy"],
    hybrid={"Conv_1": "float16"},
    analysis=True,
    artifact="model.rknn",
    timeout_s=3600.0,
    memory_bytes=8 << 30,
)
ARTIFACT = Artifact("model.rknn", 123, "ab" * 32, "sha256:" + "cd" * 32, 288, "rk3588", "2.5.0")
PLACEMENT = Placement(
    [Operator("ConvRelu", "c", "INT8", "NPU", "1x3x8x8 8x3x3x3", "1x8x8x8", 1, 2, 2, 4)],
    *(35.0, 3.375),
    {"Pad": "fallback"},
)
RESULT = Result(
    ARTIFACT,
    ["simulated.0.npy"],
    ["reference.0.npy"],
    ["layers.txt"],
    [],
    ["a warning"],
    {"python": "3.11"},
    1 << 28,
    {"total": 1.5},
    None,
)


def test_job_survives_the_way(tmp_path: Path) -> None:
    path = str(tmp_path / "job.json")
    contract.write_job(path, JOB)
    assert contract.read_job(path) == JOB


@pytest.mark.parametrize(
    "result",
    [RESULT, RESULT._replace(placement=PLACEMENT), RESULT._replace(artifact=None, fault={"code": "timeout"})],
    ids=["good", "placed", "bad"],
)
def test_result_survives_the_way(tmp_path: Path, result: Result) -> None:
    path = str(tmp_path / "result.json")
    contract.write_result(path, result)
    read = contract.read_result(path)
    assert read == result
    assert read.artifact is None or isinstance(read.artifact, Artifact)


def test_job_of_another_contract_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    contract.write_job(str(path), JOB._replace(contract=contract.CONTRACT + 1))
    with pytest.raises(ValueError, match="not a job of contract"):
        contract.read_job(str(path))


@pytest.mark.parametrize("change", [{"surprise": 1}, {"chip": None}], ids=["more", "less"])
def test_other_fields_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    data = {**JOB._asdict(), **change}
    path = tmp_path / "job.json"
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    with pytest.raises(ValueError, match="expected a Job with"):
        contract.read_job(str(path))


@pytest.mark.parametrize("text", ["[]", "{}", "not json", ""])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ValueError):
        contract.read_result(str(path))


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    contract.write_json(str(path), {"old": True})
    with pytest.raises(TypeError):
        contract.write_json(str(path), {"new": object()})
    assert contract.read_json(str(path)) == {"old": True}


def test_events_are_appended_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = [Event(1.5, "load", "zwei\nZeilen", 0, 0), Event(2.0, "quantize", "tensors", 3, 72)]
    for event in events:
        contract.append_event(str(path), event)
    assert [contract.read_event(line) for line in path.read_text().splitlines()] == events
