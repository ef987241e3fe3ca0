"""A detector converts alive by default where its raw head dies, and its files say how to use it."""

import json
from pathlib import Path

import onnx
import pytest
import yaml

from host.results import card, decode
from shared import rknn_file
from tests import models
from tests.conftest import Command
from tests.e2e.conftest import ARTIFACT, Conversion, cause

INT8 = ("rk3588", "rk3576", "rv1106", "rv1103b")


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save(models.detector(), tmp_path_factory.mktemp("models") / "birds.onnx")


@pytest.fixture(scope="session")
def heads(
    engine: str, detector: Path, tmp_path_factory: pytest.TempPathFactory, session_rkforge: Command
) -> Conversion:
    """The detector in int8 with default flags, for chips of every memory layout."""
    folder = tmp_path_factory.mktemp("heads")
    ended = session_rkforge(
        *("convert", "--chip", ",".join(INT8), "--dtype", "int8", "--model", str(detector)),
        *("--engine", engine, "--output", str(folder), "--jobs", "2", "--json"),
    )
    assert ended.status == 0, ended.stderr
    assert "9 outputs as branches" in ended.stderr
    return Conversion(engine, detector, folder, ended.document)


def test_default_head_lives_and_finds_what_the_model_finds(heads: Conversion) -> None:
    for checks in heads.document["checks"]:
        assert checks["verdict"] == "ok"
        assert len(checks["outputs"]) == 9
        found = checks["decoded"]
        assert found["expected"] > 30
        assert found["found"] / found["expected"] > 0.9
        assert found["mean_iou"] > 0.85
        assert found["score_error"] < 0.02


def test_raw_head_is_warned_of_and_dies(heads: Conversion, rkforge: Command, tmp_path: Path) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--dtype", "int8", "--model", str(heads.model)),
        *("--head", "raw", "--engine", heads.engine, "--output", "out"),
    )
    text = cause(ended, 7, "dead-output")
    assert "channels 4 to 6" in text and "--head auto" in text
    told = ended.stderr.index("'y' mixes ranges")
    assert told < ended.stderr.index("load") < ended.stderr.index("error: ")
    assert not (tmp_path / "out" / ARTIFACT).exists()


def test_decode_contract_agrees_with_the_file(heads: Conversion) -> None:
    for chip in INT8:
        folder = heads.folder / f"{chip}-int8"
        file = rknn_file.read(str(folder / ARTIFACT))
        content = json.loads((folder / decode.NAME).read_text(encoding="utf-8"))
        assert (content["chip"], content["model"], content["task"]) == (chip, "birds", "detect")
        assert content["labels"] == ["cat", "dog", "heron"]
        (given,) = content["inputs"]
        assert (given["shape"], given["layout"], given["dtype"]) == ([1, 64, 64, 3], "NHWC", "uint8")
        assert given["stored"]["scale"] == file.inputs[0].scale
        assert [each["role"] for each in content["outputs"]] == ["box", "class", "score_sum"] * 3
        for each, tensor in zip(content["outputs"], file.outputs, strict=True):
            assert (each["name"], each["shape"], each["dtype"]) == (tensor.name, tensor.shape, "int8")
            assert (each["scale"], each["zero_point"]) == (tensor.scale, tensor.zero_point)
            assert (each["native"]["layout"], each["native"]["shape"]) == ("NC1HWC2", tensor.native_shape)
        meant = decode.meaning(content)
        assert (meant.strides, meant.reg_max, meant.classes) == ((8, 16, 32), 16, 3)


def test_file_alone_tells_how_to_use_it(heads: Conversion, rkforge: Command) -> None:
    for chip in INT8:
        artifact = heads.folder / f"{chip}-int8" / ARTIFACT
        own = card.read(rknn_file.read(str(artifact)).custom_string)
        assert own is not None
        assert (own["name"], own["task"], own["labels"]) == ("birds", "detect", ["cat", "dog", "heron"])
        assert own["image"]["color"] == "RGB" and own["image"]["std"] == [255, 255, 255]
    shown = rkforge("inspect", str(artifact)).stdout
    assert "labels    cat, dog, heron" in shown
    assert rkforge("inspect", str(artifact), "--json").document["card"] == own


def test_record_and_report_say_what_was_changed(heads: Conversion) -> None:
    folder = heads.folder / "rv1106-int8"
    record = yaml.safe_load((folder / "rknn_source.yaml").read_text(encoding="utf-8"))
    assert record["request"]["head"] == "auto"
    assert record["prepared"]["head"] == "branches"
    assert any("9 outputs" in change["what"] for change in record["prepared"]["changes"])
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert any("9 outputs" in note for note in report["notes"])
    assert report["checks"]["decoded"]["found"] > 0


def test_record_is_repeated_with_its_head_and_labels(
    heads: Conversion, rkforge: Command, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    asked = ("convert", "--chip", "rk3588", "--dtype", "int8", "--model", str(heads.model))
    given = ("--head", "split", "--labels", "names.txt", "--engine", heads.engine, "--output", "out")
    assert rkforge(*asked, *given).status == 0
    content = json.loads((tmp_path / "out" / decode.NAME).read_text())
    assert (content["labels"], [each["role"] for each in content["outputs"]]) == (
        ["one", "two", "three"],
        ["box", "class"],
    )
    repeated = rkforge("convert", "--from", "out/rknn_source.yaml", "--engine", heads.engine)
    assert repeated.status == 0, repeated.stderr
    (tmp_path / "names.txt").write_text("one\ntwo\nfour\n")
    changed = rkforge("convert", "--from", "out/rknn_source.yaml", "--engine", heads.engine)
    assert "the labels changed" in cause(changed, 7, "not-reproduced")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--set", "custom_string=mine"), "mine"),
        (("--labels", "few.txt"), None),
    ],
    ids=["own string", "wrong labels"],
)
@pytest.mark.toolkit
def test_users_own_string_wins_and_wrong_labels_are_refused(
    detector: Path, rkforge: Command, tmp_path: Path, arguments: tuple[str, ...], found: str | None
) -> None:
    (tmp_path / "few.txt").write_text("one\n")
    asked = ("convert", "--chip", "rk2118", "--model", str(detector), "--engine", "local", "--output", "out")
    ended = rkforge(*asked, *arguments)
    if found is None:
        assert "has 1 names, the model has 3 classes" in cause(ended, 2, "bad-option")
        return
    assert ended.status == 0, ended.stderr
    file = rknn_file.read(str(tmp_path / "out" / ARTIFACT))
    assert file.custom_string == found
    (each,) = json.loads((tmp_path / "out" / decode.NAME).read_text())["outputs"]  # floats keep the raw head
    assert (each["role"], each["dtype"], each["shape"]) == ("box+class", "float16", file.outputs[0].shape)
    assert "scale" not in each


def test_prepare_needs_no_engine(detector: Path, rkforge: Command, tmp_path: Path) -> None:
    ended = rkforge("prepare", "--chip", "rv1106", "--model", str(detector), "--head", "end2end", "--json")
    assert ended.status == 0, ended.stderr
    (made,) = ended.document["prepared"]
    proto = onnx.load(tmp_path / made["path"])
    (output,) = proto.graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [1, 7, 84, 1]
    assert {change["by"] for change in made["changes"]} >= {"head", "outputs-4d"}
