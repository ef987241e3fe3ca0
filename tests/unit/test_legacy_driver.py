"""The legacy driver with the double of its toolkit: what it calls, what it leaves, how its failures read."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import ModelProto
from PIL import Image

from shared import chips, contract
from shared.contract import Job, Result, Source
from tests import models
from tests.conftest import ROOT
from tests.double import VERSION, environment
from tests.unit.test_harness import members

TOOLKIT = chips.toolkit("legacy")
CHIPS = [chip.name for chip in chips.chips().values() if chip.toolkit.name == "legacy"]
NOTICE = "This is NOT an RKNN model"
IMAGES = 3
PARAMETERS = "quant_param.yml"
ANALYSIS = ["analysis.entire.txt", "analysis.individual.txt"]
SETTINGS: dict[str, Any] = {"mean_values": [[0, 0, 0]], "std_values": [[255, 255, 255]]}


class Case(NamedTuple):
    """A job and its files."""

    model: ModelProto = models.conv(opset=12)
    dtype: str = "int8"
    chip: str = "rv1126"
    config: Mapping[str, Any] = {}
    suffix: str = ".png"
    hybrid: dict[str, str] | None = None
    analysis: bool = False
    folder: str = "."
    damage: str = ""
    """What is done to the calibration files: "lose one", "lose all", "truncate"."""


SIGMOID = models.operator("Sigmoid", opset=12)
MIXED = {"Conv_c_2": "float32", "Sigmoid_y_1": "dynamic_fixed_point-i16"}
CASES = {
    **{f"dtype {name}": Case(dtype=name) for name in TOOLKIT.dtypes},
    **{f"chip {name}": Case(chip=name) for name in CHIPS},
    **{f"algorithm {name}": Case(config={"quantized_algorithm": name}) for name in TOOLKIT.algorithms},
    **{f"file {suffix}": Case(suffix=suffix) for suffix in (".png", ".bmp", ".jpg", ".npy", ".webp")},
    "option": Case(config={"optimization_level": 2, "reorder_channel": "2 1 0"}),
    "batch": Case(config={"rknn_batch_size": 4}),
    "batch of hybrid": Case(model=SIGMOID, hybrid={}, config={"rknn_batch_size": 4}),
    "spaces": Case(folder="a folder\twith spaces"),
    "spaces hybrid": Case(model=SIGMOID, hybrid={}, analysis=True, folder="another folder"),
    "hybrid proposed": Case(model=SIGMOID, hybrid={}),
    "hybrid chosen": Case(model=SIGMOID, hybrid={"Conv_c_2": "float32"}),
    "hybrid unknown": Case(model=SIGMOID, hybrid={"Conv_c_1": "float32"}),
    "hybrid mixed": Case(model=SIGMOID, hybrid=MIXED),
    "analysis": Case(analysis=True),
    "analysis of floats": Case(dtype="fp16", analysis=True),
    "analysis of fixed points": Case(dtype="dynamic_fixed_point-i8", analysis=True),
    "analysis of hybrid": Case(model=SIGMOID, hybrid={"Conv_c_2": "float32"}, analysis=True),
    "opset": Case(model=models.conv(opset=13)),
    "operator": Case(model=models.operator("Softplus", opset=12)),
    "dynamic": Case(model=models.conv(shape=("n", 3, 32, 32), opset=12)),
    "unknown option": Case(config={"quantized_method": "channel"}),
    "bad value": Case(config={"optimization_level": 7}),
    "one file lost": Case(damage="lose one"),
    "all files lost": Case(damage="lose all"),
    "truncated file": Case(suffix=".jpg", damage="truncate"),
    "slow": Case(config={"quantized_algorithm": "mmse", "timeout_s": 2.0}, suffix=".bmp"),
    "large": Case(config={"memory_bytes": 10 << 20}),
}


def place(folder: Path, name: str, case: Case) -> Path:
    """Make the job directory of a case; what of its config belongs to the job goes there."""
    directory = folder / case.folder / name.replace(" ", "-")
    (directory / "in" / "calibration").mkdir(parents=True)
    models.save(case.model, directory / "in" / "model.onnx")
    config = dict(case.config)
    limits = {key: config.pop(key) for key in ("timeout_s", "memory_bytes") if key in config}
    dtype = TOOLKIT.dtypes[case.dtype]
    count = 30 if "timeout_s" in limits else IMAGES
    samples = np.random.default_rng(0).integers(0, 256, (count, models.SIDE, models.SIDE, 3), np.uint8)
    files = [directory / "in" / "calibration" / f"{number}{case.suffix}" for number in range(count)]
    for path, sample in zip(files, samples, strict=True):
        np.save(path, sample[None]) if case.suffix == ".npy" else Image.fromarray(sample).save(path)
    (directory / "in" / "list.txt").write_text("".join(f"calibration/{path.name}\n" for path in files))
    np.save(directory / "in" / "heldout.npy", samples[:1])
    for path in {"lose one": files[:1], "lose all": files}.get(case.damage, []):
        path.unlink()
    if case.damage == "truncate":
        files[1].write_bytes(files[1].read_bytes()[:-40])
    job = Job(
        contract=contract.CONTRACT,
        chip=case.chip,
        toolkit_version=TOOLKIT.versions[0],
        source=Source("onnx", {"model": "in/model.onnx"}, [], [], []),
        config={"target_platform": case.chip, **SETTINGS, **dtype.config, **config},
        quantize=dtype.quantize,
        dataset="in/list.txt" if dtype.quantize else None,
        heldout=["in/heldout.npy"],
        hybrid=case.hybrid,
        analysis=case.analysis,
        artifact=TOOLKIT.artifact,
        timeout_s=limits.get("timeout_s", 120.0),
        memory_bytes=limits.get("memory_bytes", 0),
    )
    contract.write_job(str(directory / "job.json"), job)
    return directory


def command(python: str, *directories: Path) -> list[str]:
    return [python, "-m", "legacy", "--jobs", "4", *map(str, directories)]


class Ran(NamedTuple):
    """The job directories of all cases, by name, and the interpreter that ran them."""

    directories: Mapping[str, Path]
    python: str

    def result(self, name: str) -> Result:
        return contract.read_result(str(self.directories[name] / "result.json"))

    def good(self, name: str) -> Result:
        result = self.result(name)
        assert result.fault is None, (result.fault, self.log(name))
        assert result.artifact is not None
        return result

    def made(self, name: str) -> dict[str, Any]:
        """What the double wrote instead of a model."""
        text = (self.directories[name] / "out" / TOOLKIT.artifact).read_text()
        assert text.startswith(NOTICE)
        document: dict[str, Any] = json.loads(text[text.index("{") :])
        return document

    def log(self, name: str) -> str:
        return (self.directories[name] / "log.txt").read_text()


@pytest.fixture(scope="module", params=chips.pythons(TOOLKIT))
def ran(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    legacy_python: Callable[[str], str],
) -> Ran:
    """All cases, run by one harness."""
    folder = tmp_path_factory.mktemp("legacy")
    python = legacy_python(request.param)
    directories = {name: place(folder, name, case) for name, case in CASES.items()}
    subprocess.run(command(python, *directories.values()), cwd=ROOT, check=True, timeout=600)
    return Ran(directories, python)


def calls(made: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(each["call"], each["arguments"]) for each in made["calls"]]


def test_calls_are_the_documented_ones(ran: Ran) -> None:
    out = ran.directories["dtype int8"] / "out"
    attempt = out.with_name("out.1")
    (config, load, build, export) = calls(ran.made("dtype int8"))
    given = {**SETTINGS, "target_platform": ["rv1126"], "quantized_dtype": "asymmetric_affine-u8"}
    assert config[0] == "config" and given.items() <= config[1].items()
    assert load == ("load_onnx", {"model": str(out.parent / "in" / "model.onnx")})
    dataset = str(attempt / "calibration.txt")
    assert build == ("build", {"do_quantization": True, "dataset": dataset})
    assert export == ("export_rknn", {"export_path": str(attempt / TOOLKIT.artifact)})


@pytest.mark.parametrize("name", TOOLKIT.dtypes)
def test_dtype(ran: Ran, name: str) -> None:
    dtype = TOOLKIT.dtypes[name]
    ran.good(f"dtype {name}")
    made = ran.made(f"dtype {name}")
    assert made["built"]["dtype"] == dtype.config.get("quantized_dtype", "float16")
    assert len(made["built"]["dataset"]) == (IMAGES if dtype.quantize else 0)


@pytest.mark.parametrize("chip", CHIPS)
def test_chip(ran: Ran, chip: str) -> None:
    ran.good(f"chip {chip}")
    assert calls(ran.made(f"chip {chip}"))[0][1]["target_platform"] == [chip]


@pytest.mark.parametrize("name", TOOLKIT.algorithms)
def test_algorithm(ran: Ran, name: str) -> None:
    ran.good(f"algorithm {name}")
    assert calls(ran.made(f"algorithm {name}"))[0][1]["quantized_algorithm"] == name


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".npy"])
def test_calibration_files_are_read_by_absolute_paths(ran: Ran, suffix: str) -> None:
    ran.good(f"file {suffix}")
    folder = ran.directories[f"file {suffix}"] / "in" / "calibration"
    read = [file["path"] for row in ran.made(f"file {suffix}")["built"]["dataset"] for file in row]
    assert read == [str(folder / f"{number}{suffix}") for number in range(IMAGES)]


def test_options_reach_the_toolkit(ran: Ran) -> None:
    ran.good("option")
    config = calls(ran.made("option"))[0][1]
    assert (config["optimization_level"], config["reorder_channel"]) == (2, "2 1 0")


def test_nothing_is_claimed_that_nobody_checked(ran: Ran) -> None:
    good = ran.good("dtype int8")
    assert good.artifact is not None
    data = (ran.directories["dtype int8"] / "out" / TOOLKIT.artifact).read_bytes()
    assert good.artifact.size == len(data)
    assert (good.artifact.platform, good.artifact.canonical_digest, good.simulated) == (None, None, [])
    assert any("does not begin with RKNN" in line for line in good.warnings)
    assert any("NOT Rockchip's rknn-toolkit" in line for line in good.warnings)


def test_environment_is_recorded(ran: Ran) -> None:
    recorded = ran.good("dtype int8").environment
    done = subprocess.run([ran.python, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == recorded["python"]
    assert recorded["packages"]["rknn-toolkit"] == VERSION
    assert recorded["packages"]["onnx"] == "1.10.0"
    assert "zipp" not in recorded["packages"]  # a copy that setuptools has for itself


@pytest.mark.parametrize("name", ["dtype int8", "hybrid chosen", "opset", "hybrid unknown"])
def test_toolkit_is_released(ran: Ran, name: str) -> None:
    assert "rknn-toolkit version" in ran.log(name) and "FileHandler" not in ran.log(name)


def test_stages(ran: Ran) -> None:
    def stages(name: str) -> list[str]:
        text = (ran.directories[name] / "events.jsonl").read_text()
        return [contract.read_event(line).stage for line in text.splitlines()]

    assert stages("dtype int8") == ["load", "quantize", "write", "done"]
    assert stages("dtype fp16") == ["load", "build", "write", "done"]
    assert stages("analysis of hybrid") == ["load", "quantize", "build", "write", "check", "done"]


@pytest.mark.parametrize("name", ["dtype int8", "hybrid chosen", "analysis", "opset", "hybrid unknown"])
def test_job_directory_holds_what_it_must(ran: Ran, name: str) -> None:
    directory, result = ran.directories[name], ran.result(name)
    expected = {"job.json", "in", "log.txt", "events.jsonl", "result.json"}
    expected |= {"out"} if result.fault is None else {"out.1"}
    assert {path.name for path in directory.iterdir()} == expected
    (out,) = directory.glob("out*")
    left = {path.name for path in out.iterdir()} - {"calibration.txt", "attempt.json"}
    assert left == ({TOOLKIT.artifact, *result.documents} if result.fault is None else set())


@pytest.mark.parametrize("name", ["spaces", "spaces hybrid"])
def test_spaces_in_the_path(ran: Ran, name: str) -> None:
    ran.good(name)
    made = ran.made(name)
    paths = [
        value
        for _, arguments in calls(made)
        for value in arguments.values()
        if isinstance(value, str) and value.startswith("/")
    ]
    paths += [file["path"] for row in made["built"]["dataset"] for file in row]
    assert len(paths) >= 3 + IMAGES
    assert not any(character.isspace() for path in paths for character in path)
    assert not any(os.path.lexists(path) for path in paths)


def test_batch_is_for_build(ran: Ran) -> None:
    result = ran.good("batch")
    assert dict(calls(ran.made("batch")))["build"]["rknn_batch_size"] == 4
    assert any("rknn_batch_size=4: the file takes" in line for line in result.warnings)
    assert not any("rknn_batch_size" in line for line in ran.good("option").warnings)


def test_quantization_parameters(ran: Ran) -> None:
    assert ran.good("dtype int8").documents == [PARAMETERS]
    assert "zero_point" in (ran.directories["dtype int8"] / "out" / PARAMETERS).read_text()
    assert ran.good("dtype fp16").documents == []


def test_failed_quantization_parameters_are_a_warning(ran: Ran) -> None:
    result = ran.good("dtype dynamic_fixed_point-i8")
    assert result.documents == []
    assert any("there are no quantization parameters" in line for line in result.warnings)
    assert ran.good("analysis of fixed points").documents == ANALYSIS


def test_proposals_are_kept(ran: Ran) -> None:
    result = ran.good("hybrid proposed")
    assert result.documents == ["hybrid.quantization.cfg", PARAMETERS]
    assert ran.made("hybrid proposed")["built"]["chosen"] == {"Sigmoid_y_1": "dynamic_fixed_point-i16"}


def test_layers_are_given_their_formats(ran: Ran) -> None:
    result = ran.good("hybrid chosen")
    made = ran.made("hybrid chosen")
    assert made["built"]["chosen"] == {"Conv_c_2": "float32"}
    document = (ran.directories["hybrid chosen"] / "out" / result.documents[0]).read_text()
    assert '"Conv_c_2": float32' in document and "Sigmoid_y_1" in document
    names = [name for name, _ in calls(made)]
    assert names == [
        *("config", "load_onnx", "hybrid_quantization_step1"),
        *("config", "hybrid_quantization_step2", "export_rknn"),
    ]
    step2 = dict(calls(made))["hybrid_quantization_step2"]
    assert step2["dataset"] == dict(calls(made))["hybrid_quantization_step1"]["dataset"]


def test_unknown_layer_is_answered_with_near_names(ran: Ran) -> None:
    fault = ran.result("hybrid unknown").fault
    assert fault is not None and fault["code"] == "bad-option"
    assert "no layer Conv_c_1: did you mean Conv_c_2" in fault["message"]
    assert "\n  Sigmoid_y_1\n" in ran.log("hybrid unknown")


def test_third_number_format_is_refused(ran: Ran) -> None:
    fault = ran.result("hybrid mixed").fault
    assert fault is not None and fault["code"] == "bad-option"
    assert "not 3: asymmetric_affine-u8, dynamic_fixed_point-i16, float32" in fault["message"]


@pytest.mark.parametrize("name", ["analysis", "analysis of hybrid", "spaces hybrid"])
def test_analysis(ran: Ran, name: str) -> None:
    result = ran.good(name)
    hybrid = [] if CASES[name].hybrid is None else ["hybrid.quantization.cfg"]
    assert result.documents == [*hybrid, PARAMETERS, *ANALYSIS]
    for document in ANALYSIS:
        text = (ran.directories[name] / "out" / document).read_text()
        assert "_c_2\teculidean_norm=" in text


def test_failed_analysis_is_a_warning(ran: Ran) -> None:
    result = ran.good("analysis of floats")
    assert result.documents == []
    (told,) = [line for line in result.warnings if "the error analysis failed" in line]
    assert told.endswith("accuracy_analysis failed: ValueError: nothing is quantized")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("opset", "model-opset", "opset 13, this toolkit reads up to 12"),
        ("operator", "toolkit-op", "no operator 'Softplus' (at layer Softplus_y_1)"),
        ("dynamic", "toolkit-refused", "load_onnx failed: ValueError: input x has a dynamic shape"),
        ("unknown option", "bad-option", "config() of this toolkit has no option quantized_method"),
        ("bad value", "toolkit-refused", "optimization_level 7"),
        ("batch of hybrid", "bad-option", "hybrid quantization has no such option"),
        ("file .webp", "toolkit-refused", "neither an image of a known kind nor an array"),
        ("all files lost", "dataset-invalid", "none of the calibration files"),
        ("truncated file", "dataset-invalid", "could not read a calibration file to its end"),
        ("slow", "timeout", "not finished after 2 s"),
        ("large", "out-of-memory", "used more than 10 MB"),
    ],
)
def test_failure_is_told_by_its_cause(ran: Ran, name: str, code: str, words: str) -> None:
    result = ran.result(name)
    assert result.artifact is None and result.documents == []
    assert result.fault is not None
    assert (result.fault["code"], words in result.fault["message"]) == (code, True), result.fault
    assert "\n" not in result.fault["message"] and "returned" not in result.fault["message"]
    assert not (ran.directories[name] / "out").exists()


def test_skipped_calibration_files_are_told(ran: Ran) -> None:
    result = ran.good("one file lost")
    (told,) = [line for line in result.warnings if "Can not find file" in line]
    assert str(ran.directories["one file lost"] / "in" / "calibration" / "0.png") in told
    assert len(ran.made("one file lost")["built"]["dataset"]) == IMAGES - 1


@pytest.mark.parametrize("missing", environment.FRAMEWORKS)
def test_missing_framework_is_named(tmp_path: Path, missing: str) -> None:
    rest = [name for name in environment.FRAMEWORKS if name != missing]
    python = environment.make(tmp_path, chips.pythons(TOOLKIT)[0], rest)
    directory = place(tmp_path, "job", Case())
    subprocess.run(command(python, directory), cwd=ROOT, check=True, timeout=120)
    fault = contract.read_result(str(directory / "result.json")).fault
    assert fault is not None and fault["code"] == f"{missing}-needed"
    assert "--variant full" in fault["hint"]


CODES = [(call, code) for call in ("config", "load_onnx", "build", "export_rknn") for code in (0, -1, None)]
CHECK = """
import json, sys
from legacy.convert import Refused, _check
answers = []
for call, code in json.load(sys.stdin):
    try:
        answers.append(_check(call, code) or "good")
    except Refused as refused:
        answers.append(str(refused))
print(json.dumps(answers))
"""


def test_only_success_is_success(ran: Ran) -> None:
    """config returns None, as documented; from any other call that would be news, and is a failure."""
    given = json.dumps(CODES)
    done = subprocess.run(
        [ran.python, "-c", CHECK], input=given, cwd=ROOT, stdout=subprocess.PIPE, encoding="ascii", check=True
    )
    good = {("config", None), *((call, code) for call, code in CODES if code == 0)}
    expected = ["good" if (call, code) in good else f"{call} returned {code}" for call, code in CODES]
    assert json.loads(done.stdout) == expected


@pytest.fixture
def at_work(ran: Ran, tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """A job that calibrates for minutes and has begun to, and its harness in a process group of its own."""
    slow = Case(config={"quantized_algorithm": "mmse", "timeout_s": 600.0})
    directory = place(tmp_path, "slow", slow)
    with subprocess.Popen(command(ran.python, directory), cwd=ROOT, start_new_session=True) as process:
        events = directory / "events.jsonl"
        while not (events.exists() and "quantize" in events.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        yield directory, process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_killed_toolkit_is_told(at_work: tuple[Path, "subprocess.Popen[bytes]"]) -> None:
    directory, process = at_work
    (child,) = [
        number
        for number in members(process.pid)
        if "spawn_main" in (Path("/proc") / number / "cmdline").read_text()
    ]
    os.kill(int(child), signal.SIGKILL)
    assert process.wait(60) == 0
    fault = contract.read_result(str(directory / "result.json")).fault
    assert fault is not None and fault["code"] == "out-of-memory"
    assert "the system killed the toolkit" in fault["message"]


def test_stopped_harness_leaves_no_child(at_work: tuple[Path, "subprocess.Popen[bytes]"]) -> None:
    directory, process = at_work
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    while members(process.pid):
        time.sleep(0.05)
    assert not (directory / "result.json").exists()
