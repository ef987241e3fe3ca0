"""Every format, and every way on both engines: float16 and int8, against what its own framework computes."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from host import routes
from shared import chips
from tests import registry, sources
from tests.conftest import Command
from tests.e2e.conftest import ARTIFACT

FLAGS = {"pytorch": ("--size", "8x8", "--trust-pickle")}
ROUTES = {"onnx": routes.ONNX, "darknet": routes.BRIDGE}
"""Format -> its route where that is neither the toolkit's own loader nor an exporter."""
TOOLKIT = chips.toolkit("toolkit2")
READABLE = [
    name
    for name in chips.formats()
    if chips.reading(TOOLKIT, name) or routes.into_onnx(name) or name == routes.ONNX
]

CONTAINED = ("onnx", "tflite", "caffe", "pytorch", "darknet", "tf-checkpoint")
"""One format for each route and each environment on it: all that can differ in a container."""


@pytest.fixture(scope="module")
def mediapipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with other people's models."""
    return registry.fetch("mediapipe==0.10.14", tmp_path_factory.mktemp("mediapipe")) / "mediapipe/modules"


def route(name: str) -> str:
    """How a format goes to toolkit2."""
    return ROUTES.get(name) or (routes.NATIVE if chips.reading(TOOLKIT, name) else routes.EXPORT)


def check(document: dict[str, Any], folder: Path, expected: str) -> None:
    """Both files of a request for rk3588 and rv1106 are good, and came along the route."""
    assert {each["chip"]: each["dtype"] for each in document["checks"]} == {
        "rk3588": "fp16",
        "rv1106": "int8",
    }
    for made, least in (("rk3588-fp16", 0.9999), ("rv1106-int8", 0.995)):
        assert (folder / made / ARTIFACT).stat().st_size > 1000
        report = json.loads((folder / made / "report.json").read_text())
        assert report["source"]["route"]["by"] == expected
        (output,) = report["checks"]["outputs"]
        assert output["cosine"] > least
        decode = json.loads((folder / made / "model.decode.json").read_text())
        assert [len(decode[kind]) for kind in ("inputs", "outputs")] == [1, 1]
        assert decode["inputs"][0]["shape"] == [1, 8, 8, 3]


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *(pytest.param("docker", name, marks=pytest.mark.docker) for name in CONTAINED),
        *(pytest.param("local", name, marks=pytest.mark.toolkit) for name in READABLE),
    ],
    indirect=["engine"],
)
def test_format_converts_in_floats_and_in_integers(
    engine: str, name: str, rkforge: Command, tmp_path: Path
) -> None:
    model = sources.copy(name, tmp_path / "model")
    with tempfile.TemporaryDirectory() as temporary:
        ended = rkforge(
            *("convert", "--chip", "rk3588,rv1106", "--model", str(model), "--engine", engine),
            *("--output", "out", "--json", *FLAGS.get(name, ())),
            TMPDIR=temporary,
        )
        assert not [*Path(temporary).iterdir()]
    assert ended.status == 0, ended.stderr
    check(ended.document, tmp_path / "out", route(name))
    recorded = yaml.safe_load((tmp_path / "out" / "rv1106-int8" / "rknn_source.yaml").read_text())
    assert recorded["model"]["format"] == name


@pytest.mark.toolkit
def test_darknet_goes_through_the_toolkits_own_loader_when_asked(rkforge: Command, tmp_path: Path) -> None:
    model = sources.copy("darknet", tmp_path / "model")
    ended = rkforge(
        *("convert", "--chip", "rk3588,rv1106", "--model", str(model), "--engine", "local"),
        *("--darknet", "native", "--output", "out", "--json"),
    )
    assert ended.status == 0, ended.stderr
    check(ended.document, tmp_path / "out", routes.NATIVE)


@pytest.mark.toolkit
def test_zip_holds_a_model_and_a_record_makes_it_again(rkforge: Command, tmp_path: Path) -> None:
    sources.copy("caffe", tmp_path / "net")
    with zipfile.ZipFile(tmp_path / "net.zip", "w") as archive:
        for path in (tmp_path / "net").iterdir():
            archive.write(path, f"inner/{path.name}")
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", "net.zip", "--engine", "local", "--output", "out")
    )
    assert ended.status == 0, ended.stderr
    again = rkforge("convert", "--from", "out/rknn_source.yaml", "--engine", "local")
    assert again.status == 0 and "reproduced" in again.stdout, again.stderr


@pytest.mark.toolkit
def test_files_of_one_model_from_two_folders(rkforge: Command, tmp_path: Path) -> None:
    sources.copy("caffe", tmp_path / "net")
    (tmp_path / "else").mkdir()
    (tmp_path / "net" / "net.caffemodel").rename(tmp_path / "else" / "weights.bin")
    both = ("--model", "net/net.prototxt", "--model", "else/weights.bin")
    options = ("--chip", "rk3588", "--engine", "local", "--output", "out")
    ended = rkforge("convert", *both, *options)
    assert ended.status == 0, ended.stderr
    again = rkforge("convert", "--from", "out/rknn_source.yaml", "--engine", "local")
    assert again.status == 0 and "reproduced" in again.stdout, again.stderr
    alone = rkforge("convert", "--model", "net/net.prototxt", *options)
    assert alone.status == 2 and "caffemodel" in alone.stderr


@pytest.mark.toolkit
def test_slim_environment_reads_other_formats_through_onnx(rkforge: Command, tmp_path: Path) -> None:
    model = sources.copy("tflite", tmp_path / "model")
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", str(model), "--engine", "local"),
        *("--variant", "slim", "--output", "out", "--json"),
    )
    assert ended.status == 0, ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["source"]["route"] == {
        "by": "export",
        "variant": "slim",
        "exporter": "frameworks",
        "exporter_variant": "tensorflow",
    }


@pytest.mark.toolkit
def test_file_that_crashes_the_loader_takes_another_way(
    mediapipe: Path, rkforge: Command, tmp_path: Path
) -> None:
    """Sparse weights: the toolkit's process would crash, the exporter makes them dense."""
    sparse = mediapipe / "face_detection/face_detection_full_range_sparse.tflite"
    ended = rkforge(
        *("convert", "--chip", "rk3588", "--model", str(sparse), "--engine", "local", "--output", "out")
    )
    assert ended.status == 0, ended.stderr
    assert "DENSIFY" in ended.stderr and "taking another way, export" in ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["source"]["route"]["by"] == routes.EXPORT
    assert any("DENSIFY" in note for note in report["notes"])
    assert all(output["cosine"] > 0.9999 for output in report["checks"]["outputs"])
    again = rkforge("convert", "--from", "out/rknn_source.yaml", "--engine", "local")
    assert again.status == 0 and "reproduced" in again.stdout, again.stderr


@pytest.mark.toolkit
def test_operator_that_no_way_knows_is_named(mediapipe: Path, rkforge: Command) -> None:
    custom = mediapipe / "selfie_segmentation/selfie_segmentation.tflite"
    ended = rkforge("convert", "--chip", "rk3588", "--model", str(custom), "--engine", "local")
    assert ended.status == 2
    assert "Convolution2DTransposeBias: it is custom" in ended.stderr
    assert "the other way failed, too" in ended.stderr and "Traceback" not in ended.stderr
