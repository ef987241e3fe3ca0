"""model.decode.json says what lies in the file, where each value lies, and what it means."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.decoding.contract import Decode, Output, Part
from host.results import decode
from shared import rknn_file
from shared.faults import Fault

DATA = Path(__file__).parents[1] / "data"
MEANING = Decode(
    "yolov8",
    "detect",
    "branches6",
    (
        Output("scores", (1, 10, 16, 24), (Part("class", 10, "probability"),), 2),
        Output("boxes", (1, 4, 16, 24), (Part("box", 4, "distances"),), 2),
    ),
    input_size=(48, 32),
    classes=10,
    strides=(2,),
)
INPUT = decode.Input(
    "image", (1, 3, 32, 48), decode.Image("RGB", (1.0, 2.0, 3.5), (255.0, 128.0, 64.0), "letterbox", 114)
)


def made(name: str | None, meaning: Decode = MEANING) -> dict[str, Any]:
    file = rknn_file.read(str(DATA / name)) if name else None
    content: dict[str, Any] = json.loads(
        json.dumps(decode.document(meaning, "net", "rv1106", ["a"] * 10, [INPUT], file))
    )
    return content


@pytest.mark.parametrize("name", ["rk3588-int8.rknn", "rk3576-fp16.rknn", "rv1106-int8.rknn", None])
def test_input_is_what_a_program_feeds(name: str | None) -> None:
    (given,) = made(name)["inputs"]
    stored = given.pop("stored")
    assert given == {
        "name": "image",
        "shape": [1, 32, 48, 3],
        "layout": "NHWC",
        "dtype": "uint8",
        "color": "RGB",
        "mean": [1, 2, 3.5],
        "std": [255, 128, 64],
        "resize": "letterbox",
        "pad": 114,
    }
    assert (stored is None) == (name is None)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.rknn")), ids=lambda path: path.stem)
def test_outputs_agree_with_the_file(path: Path) -> None:
    content, file = made(path.name), rknn_file.read(str(path))
    for given, tensor, meant in zip(content["outputs"], file.outputs, MEANING.outputs, strict=True):
        assert (given["name"], given["shape"]) == (tensor.name, tensor.shape)
        assert (given["role"], given["stride"]) == (meant.role, 2)
        assert given["dtype"] == tensor.dtype
        assert (given.get("scale"), given.get("zero_point")) == (tensor.scale, tensor.zero_point)
        assert given.get("layout") == tensor.layout
        assert given["native"]["layout"] == "NC1HWC2"
        assert given["native"]["shape"] == tensor.native_shape


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("rk3588-int8.rknn", [1, 2, 16, 24, 16]),
        ("rk3576-fp16.rknn", [1, 2, 16, 24, 8]),
        ("rv1106-int8.rknn", [1, 1, 16, 24, 16]),
        ("rv1103b-int8.rknn", [1, 2, 16, 24, 8]),
        ("rk2118-fp16.rknn", [1, 4, 16, 24, 4]),
    ],
)
def test_offsets_find_every_value_in_the_native_layout(name: str, shape: list[int]) -> None:
    native = made(name)["outputs"][0]["native"]
    assert native["shape"] == shape
    _, blocks, height, width, block = shape
    values = np.arange(10 * height * width).reshape(10, height, width)
    padded = np.zeros((blocks * block, height, width), int)
    padded[:10] = values
    memory = padded.reshape(blocks, block, height, width).transpose(0, 2, 3, 1).ravel()
    for c, y, x in ((0, 0, 0), (7, 3, 1), (9, 15, 23)):
        assert memory[eval(native["offset"], {"c": c, "y": y, "x": x})] == values[c, y, x]


def test_meaning_comes_back_whole() -> None:
    assert decode.meaning(made("rv1106-int8.rknn")) == MEANING
    assert decode.meaning(made(None)) == MEANING


def test_what_is_not_known_is_left_out() -> None:
    first = made(None)["outputs"][0]
    assert not {"dtype", "scale", "zero_point", "native", "layout"} & set(first)
    unknown = Decode("unknown", "unknown", "raw", (Output("scores", (1, 10, 16, 24)), MEANING.outputs[1]))
    assert made("rk3588-int8.rknn", unknown)["outputs"][0]["role"] == ""


def test_input_that_takes_no_images_is_fed_as_it_is() -> None:
    content = decode.document(MEANING, "net", "rv1106", [], [decode.Input("x", (1, 80, 3000), None)], None)
    assert content["inputs"] == [{"name": "x", "shape": [1, 80, 3000], "dtype": "float32", "stored": None}]


def test_file_with_other_inputs_than_the_model_is_refused() -> None:
    file = rknn_file.read(str(DATA / "rv1106-int8.rknn"))
    with pytest.raises(Fault, match=r"has 1 inputs .*, the model 2") as caught:
        decode.document(MEANING, "net", "rv1106", [], [INPUT, INPUT], file)
    assert caught.value.code == "artifact-invalid"
