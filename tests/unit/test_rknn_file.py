"""Facts are read from real files of every format; a damaged file is a fault, never anything else."""

import json
import random
from pathlib import Path

import pytest

from shared import rknn_file
from shared.faults import Fault

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(DATA.glob("*.rknn"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_facts_that_all_files_share(path: Path) -> None:
    facts = rknn_file.read(str(path))
    chip, dtype = path.name.split(".")[0].split("-")
    assert (facts.platform, facts.toolkit_version, facts.framework) == (chip, "2.5.0", "ONNX")
    assert facts.compiler_version.startswith("2.5.0 (")
    assert facts.custom_string == "made by tests/data"
    assert facts.size == path.stat().st_size
    assert [(t.name, t.shape) for t in facts.inputs] == [("image", [1, 3, 32, 48])]
    assert [(t.name, t.shape) for t in facts.outputs] == [
        ("scores", [1, 10, 16, 24]),
        ("boxes", [1, 4, 16, 24]),
    ]
    assert {t.dtype for t in facts.inputs + facts.outputs} == {{"int8": "int8", "fp16": "float16"}[dtype]}
    assert (facts.inputs[0].mean, facts.inputs[0].std) == ([1, 2, 3], [255, 128, 64])
    assert facts.outputs[0].mean is None
    assert json.loads(json.dumps(facts.to_json()))["outputs"][1]["name"] == "boxes"


def test_formats_and_layouts() -> None:
    big, mini = (rknn_file.read(str(DATA / name)) for name in ("rk3588-int8.rknn", "rv1106-int8.rknn"))
    assert (big.format, big.target, big.inputs[0].layout, big.outputs[0].layout) == (
        6,
        "RKNPU v2",
        "NHWC",
        "NCHW",
    )
    assert (mini.format, mini.target, mini.inputs[0].layout) == (0x1004, "RKNPU t3", None)


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("rk3588-int8.rknn", [1, 2, 16, 24, 16]),
        ("rk3576-fp16.rknn", [1, 2, 16, 24, 8]),
        ("rv1106-int8.rknn", [1, 1, 16, 24, 16]),
        ("rv1103b-int8.rknn", [1, 2, 16, 24, 8]),
        ("rk2118-fp16.rknn", [1, 4, 16, 24, 4]),
    ],
)
def test_native_layout_is_what_the_compiler_tables_say(name: str, scores: list[int]) -> None:
    facts = rknn_file.read(str(DATA / name))
    assert (facts.inputs[0].native_layout, facts.inputs[0].native_shape) == ("NC1HWC2", [1, 1, 32, 48, 3])
    assert (facts.outputs[0].native_layout, facts.outputs[0].native_shape) == ("NC1HWC2", scores)


@pytest.mark.parametrize("name", ["rk3588-int8.rknn", "rv1106-int8.rknn", "rv1103b-int8.rknn"])
def test_quantization_covers_the_calibrated_range(name: str) -> None:
    # pixels 0..255 with mean 1, 2, 3 and std 255, 128, 64 are reals from -3/64 to 252/64
    image = rknn_file.read(str(DATA / name)).inputs[0]
    assert image.scale is not None and image.zero_point is not None
    assert (-128 - image.zero_point) * image.scale == pytest.approx(-3 / 64, abs=image.scale)
    assert (127 - image.zero_point) * image.scale == pytest.approx(252 / 64, abs=image.scale)


@pytest.mark.parametrize("name", ["rk3576-fp16.rknn", "rk2118-fp16.rknn"])
def test_floating_point_has_no_scale(name: str) -> None:
    facts = rknn_file.read(str(DATA / name))
    assert {(t.scale, t.zero_point) for t in facts.inputs + facts.outputs} == {(None, None)}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b"\x08\x07\x12\x04onnx" * 50, "signature"),
        (rknn_file.MAGIC + b"\x07" + bytes(60), "format 0x7"),
        (rknn_file.MAGIC + b"\x06", "outside the data"),
        (b"RKNN" + bytes(200), "format 0x0"),
    ],
)
def test_something_else_is_a_fault_that_says_why(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "x.rknn"
    path.write_bytes(content)
    with pytest.raises(Fault, match=cause) as fault:
        rknn_file.read(str(path))
    assert fault.value.code == "rknn-invalid"
    assert str(path) in fault.value.message


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="No such file"):
        rknn_file.read(str(tmp_path / "none.rknn"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_truncation_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for length in [*range(0, 200), *range(200, len(data), 97), len(data) - 1]:
        with pytest.raises(ValueError):
            rknn_file.parse(data[:length])
    with pytest.raises(ValueError, match="its length is"):
        rknn_file.parse(data + b"\0")


def test_a_file_that_contradicts_itself_is_noticed() -> None:
    data = (DATA / "rk3588-int8.rknn").read_bytes()
    with pytest.raises(ValueError, match="different chips"):
        rknn_file.parse(data.replace(b'"target_platform":["rk3588"]', b'"target_platform":["rk3568"]'))


@pytest.mark.filterwarnings("ignore")  # a damaged Python literal may hold odd escapes
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_damage_never_escapes_as_another_error(path: Path) -> None:
    data = path.read_bytes()
    rng = random.Random(path.name)
    # the header, the FlatBuffer's ends and the JSON are where positions and lengths are
    hot = [*range(0x30), *range(0x40, 0x200), *range(len(data) - 3000, len(data))]
    for round_ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 4, 32))):
            at = rng.choice(hot) if round_ % 2 else rng.randrange(len(data))
            damaged[at] = rng.choice((damaged[at] ^ (1 << rng.randrange(8)), 0, 0xFF, 0x7F))
        try:
            facts = rknn_file.parse(bytes(damaged))
        except ValueError:
            continue
        json.dumps(facts.to_json())
