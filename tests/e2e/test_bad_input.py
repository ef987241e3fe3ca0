"""Mistakes of a user: each is answered with its cause, a hint and an exit status, no toolkit starts."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests import models
from tests.conftest import IN_CI, Command, Ended, command_line
from tests.e2e.conftest import (
    Conversion,
    Refused,
    cause,
    contents,
    earlier_result,
    photos,
)

GOOD = models.conv().SerializeToString()
GARBAGE = np.random.default_rng(0).bytes(4096)


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("empty.onnx", b"", "model-invalid", "is empty"),
        ("truncated.onnx", GOOD[: len(GOOD) // 2], "model-invalid", "truncated"),
        ("garbage.onnx", GARBAGE, "model-invalid", "does not read as ONNX"),
        ("page.onnx", b"<!DOCTYPE html><p>404", "model-invalid", "an HTML page"),
        ("weights.pt", b"\x80\x02" + GARBAGE, "model-format", "Export the model to ONNX"),
        ("graph.pb", GARBAGE, "model-invalid", "TensorFlow"),
    ],
)
def test_file_that_is_no_model(
    refused: Refused, tmp_path: Path, name: str, content: bytes, code: str, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refused(2, code, "--chip", "rk3588", "--model", name, "--engine", "local")


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (models.youngest, "model-opset", "opset 26, the toolkit is given 7 to 19"),
        (
            lambda: models.operator("Sharpen", "my.ops"),
            "model-op",
            "Operator Sharpen at 'y' is custom (domain my.ops)",
        ),
        (lambda: models.operator("Softsign"), "model-op", "Operator Softsign at 'y': it has no NPU lowering"),
        (lambda: models.conv(shape=(1, 3, "h", "w")), "model-shape", "--size WxH"),
    ],
    ids=["opset", "custom", "lowering", "dynamic"],
)
def test_model_that_cannot_be_converted(
    refused: Refused, tmp_path: Path, make: Callable[[], ModelProto], code: str, words: str
) -> None:
    models.save(make(), tmp_path / "m.onnx")
    assert words in refused(2, code, "--chip", "rk3588", "--model", "m.onnx", "--engine", "local")


def test_missing_model(refused: Refused) -> None:
    assert "none.onnx does not exist" in refused(
        2, "model-missing", "--chip", "rk3588", "--model", "none.onnx"
    )


def test_no_model_and_no_settings(refused: Refused) -> None:
    assert "--model FILE" in refused(2, "model-missing", "--chip", "rk3588")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--chip", "rk3855"], "chip-unknown", "did you mean rk3588?"),
        (["--chip", "rv1106", "--dtype", "fp16"], "dtype-unsupported", "rv1106 converts with int8"),
        (["--chip", "rk2118", "--dtype", "int8"], "dtype-unsupported", "rk2118 converts with fp16"),
        (["--chip", "rk3588", "--dtype", "int9"], "dtype-unsupported", "did you mean int8?"),
        (["--chip", "rk3588", "--toolkit-version", "2.5.1"], "version-unsupported", "did you mean 2.5.0?"),
    ],
)
def test_what_a_chip_cannot_do(
    refused: Refused, tiny: Path, arguments: list[str], code: str, words: str
) -> None:
    assert words in refused(3, code, "--model", str(tiny), *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "optimisation_level=2"], "did you mean optimization_level?"),
        (["--engine", "podman"], "auto, docker, local"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_option(refused: Refused, tiny: Path, arguments: list[str], words: str) -> None:
    assert words in refused(2, "bad-option", "--chip", "rk3588", "--model", str(tiny), *arguments)


def test_unknown_setting_in_the_file(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "rkforge.yaml").write_text(f"model: {tiny}\nalgoritm: mmse\n")
    assert "rkforge.yaml: unknown key algoritm: did you mean algorithm?" in refused(
        2, "bad-option", "--chip", "rk3588"
    )


def test_bad_variable_is_named(refused: Refused, tiny: Path) -> None:
    text = refused(2, "bad-option", "--chip", "rk3588", "--model", str(tiny), RKFORGE_JOBS="many")
    assert "RKFORGE_JOBS 'many'" in text


def test_all_mistakes_are_reported_at_once(rkforge: Command) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3855", "--model", "none.onnx", "--dataset", "nowhere", "--size", "big"),
        *("--jobs", "0", "--json"),
    )
    assert ended.status == 3  # of the first
    for words in ("5 mistakes", "rk3588?", "none.onnx", "nowhere", "640x480", "a whole number above 0"):
        assert words in ended.stderr
    assert ended.document["status"] == "failed"
    assert ended.document["artifacts"] == []
    assert set(ended.document["fault"]) == {"code", "message", "hint", "log", "log_tail"}


def test_missing_dataset(refused: Refused, tiny: Path) -> None:
    arguments = ("--chip", "rk3588", "--model", str(tiny), "--dataset", "nowhere")
    assert "nowhere does not exist" in refused(2, "dataset-missing", *arguments)


def test_empty_dataset(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "readme.md").touch()
    arguments = ("--chip", "rk3588", "--model", str(tiny), "--dataset", "images", "--engine", "local")
    assert "holds no image" in refused(2, "dataset-empty", *arguments)


def test_all_corrupt_images_are_named(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", [f"{number}.png" for number in range(12)])
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:200])
    (folder / "7.jpg").write_bytes(b"no image at all")
    arguments = ("--chip", "rk3588", "--model", str(tiny), "--dataset", "images", "--engine", "local")
    text = refused(2, "dataset-invalid", *arguments)
    assert "2 of 13" in text and "3.png" in text and "7.jpg (not an image)" in text


def test_all_missing_images_of_a_list_are_named(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    photos(tmp_path, ["there.png"])
    (tmp_path / "list.txt").write_text("there.png\ngone.png\n# fine.png\nlost.png\n")
    arguments = ("--chip", "rk3588", "--model", str(tiny), "--dataset", "list.txt", "--engine", "local")
    text = refused(2, "dataset-invalid", *arguments)
    assert "gone.png (missing)" in text and "lost.png (missing)" in text and "fine.png" not in text


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/rkforge", "file.rknn/model.rknn"])
def test_output_that_cannot_be_written(rkforge: Command, tiny: Path, tmp_path: Path, output: str) -> None:
    for name in ("file", "file.rknn"):
        (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    ended = rkforge(
        "convert", "--chip", "rk3588", "--model", str(tiny), "--output", output, "--engine", "local"
    )
    assert "cannot write to" in cause(ended, 2, "output-invalid")
    assert contents(tmp_path) == before


def test_one_file_for_several_chips(rkforge: Command, tiny: Path) -> None:
    ended = rkforge("convert", "--chip", "rk3588,rk3566", "--model", str(tiny), "--output", "m.rknn")
    assert "Name a folder" in cause(ended, 2, "output-invalid")


def test_record_that_is_none(rkforge: Command, tmp_path: Path) -> None:
    (tmp_path / "rknn_source.yaml").write_text("model: m.onnx\n")
    assert "not a record" in cause(rkforge("convert", "--from", "rknn_source.yaml"), 2, "record-invalid")
    assert "does not exist" in cause(rkforge("convert", "--from", "none.yaml"), 2, "record-invalid")


def test_file_that_is_no_rknn(rkforge: Command, tiny: Path) -> None:
    cause(rkforge("inspect", str(tiny)), 2, "rknn-invalid")
    cause(rkforge("inspect", "none.rknn"), 2, "rknn-invalid")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--model", "closed.onnx"], "file-access"),
        (["--model", "open.onnx", "--dataset", "images"], "file-access"),
        (["--model", "open.onnx", "--output", "closed"], "output-invalid"),
    ],
    ids=["model", "image", "output"],
)
def test_permission_denied(
    tmp_path: Path, command_environment: dict[str, str], arguments: list[str], code: str
) -> None:
    for name in ("open.onnx", "closed.onnx"):
        (tmp_path / name).write_bytes(GOOD)
    photos(tmp_path / "images", ["1.png"])
    (tmp_path / "closed").mkdir()
    for name in ("closed.onnx", "images/1.png", "closed"):
        (tmp_path / name).chmod(0)
    arguments = ["convert", "--chip", "rk3588", "--engine", "local", *arguments]
    ended = run_within(without_privileges(), arguments, tmp_path, command_environment)
    assert "Permission denied" in cause(ended, 2, code)


def without_privileges() -> list[str]:
    """A command prefix under which permissions count, for root too."""
    return [] if os.geteuid() else ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]


def run_within(
    prefix: list[str], arguments: Sequence[str], folder: Path, environment: dict[str, str]
) -> Ended:
    done = subprocess.run(
        [*prefix, *command_line(*arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.toolkit
@pytest.mark.parametrize("engine", ["local"], indirect=True)
def test_full_disk(converted: Conversion, tmp_path: Path, command_environment: dict[str, str]) -> None:
    """A file system with room for the earlier result, in a mount namespace of the command's own."""
    before = earlier_result(tmp_path / "earlier")
    for name in ("small", "after"):
        (tmp_path / name).mkdir()
    script = (
        'mount -t tmpfs -o size=20k tmpfs small && cp earlier/* small && "$@"; status=$?; '
        "cp -r small/. after; exit $status"
    )
    ended = run_within(
        [*namespace(), "sh", "-c", script, "sh"],
        [
            "convert",
            "--chip",
            "rk3588",
            "--model",
            str(converted.model),
            "--output",
            "small",
            "--engine",
            "local",
        ],
        tmp_path,
        command_environment,
    )
    assert "no space left" in cause(ended, 2, "disk-full")
    assert contents(tmp_path / "after") == before


@pytest.mark.toolkit
@pytest.mark.parametrize("engine", ["local"], indirect=True)
def test_full_disk_at_work(
    converted: Conversion, tmp_path: Path, command_environment: dict[str, str]
) -> None:
    """The jobs' own file system has room for the model, but not for what the toolkit makes of it."""
    before = earlier_result(tmp_path / "out")
    (tmp_path / "small").mkdir()
    script = (
        'mount -t tmpfs -o size=150k tmpfs small && ln -s "$RKFORGE_CACHE_DIR/environments" small && '
        'RKFORGE_CACHE_DIR="$PWD/small" exec "$@"'
    )
    ended = run_within(
        [*namespace(), "sh", "-c", script, "sh"],
        [
            "convert",
            "--chip",
            "rv1106",
            "--model",
            str(converted.model),
            "--output",
            "out",
            "--engine",
            "local",
        ],
        tmp_path,
        command_environment,
    )
    cause(ended, 2, "disk-full")
    assert contents(tmp_path / "out") == before


def namespace() -> list[str]:
    """A command prefix in which file systems can be mounted, as root or as any user."""
    for prefix in (["unshare", "--mount"], ["unshare", "--mount", "--user", "--map-root-user"]):
        if (
            subprocess.run(
                [*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
            ).returncode
            == 0
        ):
            return prefix
    assert not IN_CI, "no file system can be mounted here"
    pytest.skip("no file system can be mounted here")
