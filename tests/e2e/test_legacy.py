"""The legacy chips from end to end, with the double of their toolkit in the real environments.

Commands run in a copy of the checkout whose wheels.lock names the double's wheel. Its image has the name that
a user's has, so whatever bore it gets it back.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from host.plan import Environment
from shared import chips
from tests import checkout, double, models, sources
from tests.conftest import Command, command
from tests.e2e.conftest import cause, contents, earlier_result, photos
from tests.e2e.test_interrupted import assert_nothing_left, ended, started

TOOLKIT = chips.toolkit("legacy")
ARTIFACT = TOOLKIT.artifact
CHIPS = [chip for chip in chips.chips().values() if chip.toolkit == TOOLKIT]
IMAGE = Environment("legacy", TOOLKIT.versions[0], chips.pythons(TOOLKIT)[0], "full").image
FILES = {ARTIFACT, "rknn_source.yaml", "report.json", "log.txt", "model.decode.json", "quant_param.yml"}
ANALYSIS = {"analysis.entire.txt", "analysis.individual.txt"}
OLDEST = ("--engine", "local", "--python", chips.pythons(TOOLKIT)[-1])
BOTH = [
    pytest.param(("--engine", "docker"), marks=pytest.mark.docker, id="docker"),
    pytest.param(OLDEST, id="local"),
]


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the double for the vendor's wheel."""
    folder = tmp_path_factory.mktemp("doubled")
    return checkout.copy(folder / "checkout", "legacy", double.build_wheel(folder))


@pytest.fixture(scope="module", autouse=True)
def image() -> Iterator[None]:
    """Gives the image's name back to what had it; the layers of the double's stay for the next time."""
    from tests.conftest import docker_answers

    if not docker_answers():
        yield
        return
    import docker
    from docker.errors import ImageNotFound

    client = docker.from_env()

    def named() -> Any:
        try:
            return client.images.get(IMAGE)
        except ImageNotFound:
            return None

    before = named()
    yield
    if before is not None:
        before.tag(*IMAGE.split(":"))
    elif named() is not None:
        client.images.remove(IMAGE, noprune=True)


@pytest.fixture
def run(doubled: Path, tmp_path: Path, command_environment: dict[str, str]) -> Command:
    """Runs `invoke ...` of that checkout in the test's own folder."""
    return command(tmp_path, command_environment, root=doubled)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(models.save(models.operator("Sigmoid", opset=12), tmp_path / "m.onnx"))


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return str(photos(tmp_path / "photos", [f"{number}.jpg" for number in range(8)]))


def made(folder: Path) -> dict[str, Any]:
    """What the double wrote instead of a model."""
    text = (folder / ARTIFACT).read_text()
    assert text.startswith("This is NOT an RKNN model")
    document: dict[str, Any] = json.loads(text[text.index("{") :])
    return document


def configured(folder: Path) -> dict[str, Any]:
    """The arguments of `config`."""
    return dict(next(each["arguments"] for each in made(folder)["calls"] if each["call"] == "config"))


@pytest.mark.docker
def test_every_chip_converts(run: Command, model: str, dataset: str, tmp_path: Path) -> None:
    names = ",".join(chip.name.upper() for chip in CHIPS)
    arguments = ("--model", model, "--dataset", dataset, "--engine", "docker", "--jobs", "2", "--json")
    ended = run("convert", "--chip", names, "--output", "all", *arguments)
    assert ended.status == 0, ended.stderr
    assert [artifact["chip"] for artifact in ended.document["artifacts"]] == [chip.name for chip in CHIPS]
    for artifact in ended.document["artifacts"]:
        folder = tmp_path / "all" / f"{artifact['chip']}-int8"
        assert set(contents(folder)) == FILES
        assert (artifact["toolkit"], artifact["version"]) == ("legacy", TOOLKIT.versions[0])
        assert configured(folder)["target_platform"] == [artifact["chip"]]
        assert configured(folder)["std_values"] == [[255.0] * 3]
        assert len(made(folder)["built"]["dataset"]) > 0


LOADED = [
    name for name in chips.formats() if chips.reading(TOOLKIT, name) and name not in ("onnx", "darknet")
]


@pytest.mark.docker
@pytest.mark.parametrize("name", LOADED)
def test_every_format_goes_to_its_own_loader(name: str, run: Command, tmp_path: Path) -> None:
    source = sources.copy(name, tmp_path / "model")
    ended = run(
        *("convert", "--chip", "rv1126", "--model", str(source), "--engine", "docker", "--dtype", "int8"),
        *("--output", "out", "--json", *(("--input-sizes", "1x3x8x8") if name == "mxnet" else ())),
    )
    assert ended.status == 0, ended.stderr
    calls = [each["call"] for each in made(tmp_path / "out")["calls"]]
    assert [call for call in calls if call.startswith("load_")] == [
        {"torchscript": "load_pytorch"}.get(name, f"load_{name}")
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["source"]["route"]["by"] == "native" and report["checks"] is None
    assert configured(tmp_path / "out")["reorder_channel"] == "0 1 2"
    assert json.loads((tmp_path / "out" / "model.decode.json").read_text())["inputs"][0]["shape"] == [
        1,
        8,
        8,
        3,
    ]


@pytest.mark.docker
def test_one_command_for_both_toolkits(run: Command, model: str, tmp_path: Path) -> None:
    ended = run(
        *("convert", "--chip", "rv1126,rk3588,rv1109", "--model", model, "--engine", "docker"),
        *("--output", "both", "--json"),
    )
    assert ended.status == 0, ended.stderr
    toolkits = {artifact["chip"]: artifact["toolkit"] for artifact in ended.document["artifacts"]}
    assert list(toolkits.items()) == [("rv1126", "legacy"), ("rk3588", "toolkit2"), ("rv1109", "legacy")]
    assert configured(tmp_path / "both" / "rv1126-fp16")["target_platform"] == ["rv1126"]
    assert (tmp_path / "both" / "rk3588-fp16" / "model.toolkit2.rknn").read_bytes().startswith(b"RKNN")


@pytest.mark.docker
@pytest.mark.parametrize("name", TOOLKIT.dtypes)
def test_dtype(run: Command, model: str, dataset: str, tmp_path: Path, name: str) -> None:
    dtype = TOOLKIT.dtypes[name]
    ended = run(
        *("convert", "--chip", "rv1109", "--model", model, "--dataset", dataset, "--dtype", name),
        *("--engine", "docker", "--output", "out"),
    )
    assert ended.status == 0, ended.stderr
    built = made(tmp_path / "out")["built"]
    assert built["dtype"] == dtype.config.get("quantized_dtype", "float16")
    assert bool(built["dataset"]) is dtype.quantize


@pytest.mark.parametrize("engine", BOTH)
def test_record_and_report_say_what_was_not_checked(
    run: Command, model: str, dataset: str, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    ended = run(
        "convert", "--chip", "rv1126", "--model", model, "--dataset", dataset, *engine, "--output", "out"
    )
    assert ended.status == 0, ended.stderr
    record = yaml.safe_load((tmp_path / "out" / "rknn_source.yaml").read_text())
    assert record["environment"]["packages"]["rknn-toolkit"] == double.VERSION
    assert record["environment"]["packages"].keys() >= {"torch", "numpy", "onnx"}
    assert record["artifact"]["canonical_digest"] is None and record["artifact"]["platform"] is None
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["checked_on"] == TOOLKIT.checked_on
    assert any("NOT Rockchip's rknn-toolkit" in line for line in report["warnings"])
    assert "test double" in (tmp_path / "out" / "log.txt").read_text()
    again = run(
        "convert",
        "--chip",
        "rv1126",
        "--model",
        model,
        "--dataset",
        dataset,
        *engine,
        "--output",
        "b",
        "--json",
    )
    assert again.status == 0, again.stderr
    assert again.document["cache"] == "hit"
    assert contents(tmp_path / "b")[ARTIFACT] == contents(tmp_path / "out")[ARTIFACT]


@pytest.mark.docker
def test_record_reproduces(run: Command, model: str, dataset: str) -> None:
    # made anew: what the double writes names the job directory, which another test's may be a different one
    arguments = (
        "--model",
        model,
        "--dataset",
        dataset,
        "--engine",
        "docker",
        "--output",
        "out",
        "--no-cache",
    )
    ended = run("convert", "--chip", "rk3399pro", *arguments)
    assert ended.status == 0, ended.stderr
    ended = run("convert", "--from", "out/rknn_source.yaml", "--engine", "docker", "--json")
    assert ended.status == 0, ended.stderr
    assert ended.document["reproduced"] is True


@pytest.mark.parametrize("engine", BOTH)
def test_layers_and_analysis(
    run: Command, model: str, dataset: str, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    arguments = ("--chip", "rv1126", "--model", model, "--dataset", dataset, *engine)
    ended = run("convert", *arguments, "--hybrid", "auto", "--analysis", "--output", "auto", "--json")
    assert ended.status == 0, ended.stderr
    assert set(contents(tmp_path / "auto")) == FILES | ANALYSIS | {"hybrid.quantization.cfg"}
    assert made(tmp_path / "auto")["built"]["chosen"] == {"Sigmoid_y_1": "dynamic_fixed_point-i16"}
    (artifact,) = ended.document["artifacts"]
    assert len(artifact["documents"]) == 5

    # what one conversion left is what the next one takes, once it is edited
    cfg = tmp_path / "auto" / "hybrid.quantization.cfg"
    cfg.write_text(cfg.read_text().replace('"Sigmoid_y_1": dynamic_fixed_point-i16', '"Conv_c_2": float32'))
    ended = run("convert", *arguments, "--hybrid", str(cfg), "--output", "edited")
    assert ended.status == 0, ended.stderr
    assert made(tmp_path / "edited")["built"]["chosen"] == {"Conv_c_2": "float32"}

    ended = run("convert", *arguments, "--hybrid", "Conv_c=float32", "--output", "edited")
    assert "no layer Conv_c: did you mean Conv_c_2" in cause(ended, 2, "bad-option")
    assert made(tmp_path / "edited")["built"]["chosen"] == {"Conv_c_2": "float32"}
    assert "Sigmoid_y_1" in (tmp_path / "edited" / "failed.log.txt").read_text()


def test_dry_run_needs_no_wheel(rkforge: Command, model: str) -> None:
    ended = rkforge("convert", "--chip", "rv1126", "--model", model, "--dry-run", "--json")
    assert ended.status == 0, ended.stderr
    (planned,) = ended.document["plans"]
    assert planned["environment"]["image"] == IMAGE
    assert planned["config"]["target_platform"] == "rv1126"


@pytest.mark.parametrize(
    ("proto", "code", "words"),
    [
        (models.operator("Softplus", opset=12), "model-op", "Operator Softplus at 'y'"),
        (models.youngest(), "model-opset", "is given 8 to 12"),
        (models.conv(shape=(1, 3, "h", "w"), opset=12), "model-shape", "--size WxH"),
    ],
    ids=["operator", "opset", "dynamic"],
)
def test_model_that_cannot_be_converted(
    rkforge: Command, tmp_path: Path, proto: Any, code: str, words: str
) -> None:
    models.save(proto, tmp_path / "m.onnx")
    ended = rkforge("convert", "--chip", "rv1126", "--model", "m.onnx", "--engine", "local")
    assert words in cause(ended, 2, code)


def test_variant_without_pytorch(run: Command, tmp_path: Path) -> None:
    source = sources.copy("tflite", tmp_path / "model")
    arguments = ("convert", "--chip", "rv1126", *OLDEST, "--variant", "tensorflow", "--output", "out")
    ended = run(*arguments, "--model", str(source), "--dtype", "int8")
    assert ended.status == 0, ended.stderr
    record = yaml.safe_load((tmp_path / "out" / "rknn_source.yaml").read_text())
    assert record["environment"]["packages"].keys() & {"torch", "tensorflow"} == {"tensorflow"}
    assert len(made(tmp_path / "out")["built"]["dataset"]) > 0


def test_newer_opset_is_lowered(run: Command, tmp_path: Path) -> None:
    models.save(models.conv(opset=17), tmp_path / "m.onnx")
    ended = run("convert", "--chip", "rv1126", "--model", "m.onnx", *OLDEST, "--output", "out")
    assert ended.status == 0, ended.stderr
    assert made(tmp_path / "out")["built"]["layers"]


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        ("missing", "wheel-missing", [checkout.NOWHERE]),
        ("truncated", "wheel-invalid", ["neither a whole wheel nor the vendor's archive"]),
        ("another", "wheel-invalid", ["its MD5 is ", "(MD5 "]),
    ],
)
def test_wheel_that_is_none(
    tmp_path: Path, command_environment: dict[str, str], model: str, damage: str, code: str, words: list[str]
) -> None:
    wheel = double.build_wheel(tmp_path)
    copy = checkout.copy(tmp_path / "checkout", "legacy", wheel)
    brought = copy / "images" / "legacy" / "wheels" / wheel.name
    if damage == "missing":
        brought.unlink()
    elif damage == "truncated":
        brought.write_bytes(brought.read_bytes()[:-100])
    # another archive, so that no environment of the good wheel is this one
    wheel.write_bytes(wheel.read_bytes() if damage != "another" else b"another")
    checkout.write_lock(copy / "images" / "legacy", "legacy", wheel, archive=checkout.NOWHERE + f"?{damage}")
    before = earlier_result(tmp_path / "out")
    run = command(tmp_path, command_environment, root=copy)
    ended = run("convert", "--chip", "rv1126", "--model", model, "--engine", "local", "--output", "out")
    told = cause(ended, 5, code)
    for word in (*words, wheel.name, "--wheel PATH"):
        assert word in told
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("engine", BOTH)
def test_ctrl_c(
    doubled: Path,
    model: str,
    dataset: str,
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
    engine: tuple[str, ...],
) -> None:
    before = earlier_result(tmp_path / "out")
    arguments = (
        *("convert", "--chip", "rv1126", "--model", model, "--dataset", dataset, "--algorithm", "mmse"),
        *("--no-cache", "--output", "out", *engine),
    )
    with started(arguments, tmp_path, command_environment, doubled) as process:
        os.killpg(process.pid, signal.SIGINT)
        stopped = ended(process)
    assert "stopped before the end" in cause(stopped, 130, "cancelled")
    assert contents(tmp_path / "out") == before
    assert_nothing_left(engine[1], session_cache)


def test_spaces_in_the_path(
    doubled: Path,
    model: str,
    dataset: str,
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    """The local engine's job directories lie in the user's cache, which may be anywhere."""
    cache = tmp_path / "a cache with spaces"
    cache.mkdir()
    (cache / "environments").symlink_to((session_cache / "environments").resolve())
    run = command(tmp_path, {**command_environment, "RKFORGE_CACHE_DIR": str(cache)}, root=doubled)
    ended = run(
        "convert", "--chip", "rv1126", "--model", model, "--dataset", dataset, *OLDEST, "--output", "o u t"
    )
    assert ended.status == 0, ended.stderr
    assert len(made(tmp_path / "o u t")["built"]["dataset"]) > 0


def test_doctor_tries_the_wheel_of_the_named_python(run: Command) -> None:
    ended = run("doctor", "--toolkit", "legacy", *OLDEST, "--json")
    assert ended.status == 0, ended.stderr
    seen = ended.document["seen"]
    assert seen["installed"] == f"{TOOLKIT.package} {double.VERSION}"
    assert "-py36" in seen["environment"] and seen["converted"].startswith("rk1808-int8, ")


def test_memory_and_time_are_limited(run: Command, model: str, dataset: str) -> None:
    arguments = ("convert", "--chip", "rv1126", "--model", model, *OLDEST, "--no-cache")
    ended = run(*arguments, "--dataset", dataset, "--algorithm", "mmse", "--timeout", "1")
    assert "not finished after 1 s" in cause(ended, 8, "timeout")
    ended = run(*arguments, "--memory", "100m")
    assert "more than 100 MB" in cause(ended, 6, "out-of-memory")
