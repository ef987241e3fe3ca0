"""What is staged for models that are no ONNX: how images get into inputs of other layouts and types."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from host.settings import Settings
from host.sources.native import model as native
from host.sources.onnx import model as onnx_model
from host.sources.source import Source
from host.steps import judgement, staging
from host.steps.staging import Staged
from shared import chips
from shared.chips import Toolkit
from shared.faults import Fault
from tests import models

DATA = Path(__file__).parents[1] / "data"
TOOLKIT = chips.toolkit("toolkit2")
FLOAT = TensorProto.FLOAT
Numbers = tuple[float, ...]
LEGACY = chips.toolkit("legacy")
MEAN, STD = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)


def staged(model: Path, folder: Path, quantize: bool = True) -> Staged:
    settings = Settings(("rk3588",), (model,), mean=(1.0, 2.0, 3.0), std=(4.0,) * 3)
    source = Source("tflite", {"model": model})
    loaded = native.load(source, TOOLKIT, (), (), (), None, folder / "rewritten")
    (folder / "in").mkdir()
    return staging.stage(settings, loaded, quantize, TOOLKIT, folder / "in")


def test_channels_last_input_takes_images(tmp_path: Path) -> None:
    made = staged(DATA / "sources" / "net.tflite", tmp_path)
    assert made.config == {"mean_values": [[1.0, 2.0, 3.0]], "std_values": [[4.0, 4.0, 4.0]]}
    (given,) = made.inputs
    assert given.shape == (1, 3, 8, 8) and given.image is not None and given.dtype == "uint8"
    held_out = np.load(tmp_path / made.heldout[0])
    assert held_out.shape[1:] == (8, 8, 3) and held_out.dtype == np.uint8
    assert not made.quantized and any("random noise" in line for line in made.warnings)


@pytest.mark.parametrize(("name", "std", "dtype"), [("int8", 4.0, "uint8"), ("integers", 1.0, "int8")])
def test_quantized_model_is_not_calibrated(name: str, std: float, dtype: str, tmp_path: Path) -> None:
    """One takes floats and quantizes them itself, the other takes integers, which nobody normalises."""
    made = staged(DATA / "native" / f"{name}.tflite", tmp_path)
    assert made.quantized and made.warnings == ()
    assert made.config["std_values"] == [[std] * 3]
    (given,) = made.inputs
    assert given.dtype == dtype and given.image is not None and given.image.std == (std,) * 3


@pytest.mark.parametrize("toolkit", [TOOLKIT, LEGACY], ids=lambda toolkit: str(toolkit.name))
@pytest.mark.parametrize("blue_first", [False, True])
def test_float_model_is_fed_in_its_own_order_of_colours(
    toolkit: Toolkit, blue_first: bool, tmp_path: Path
) -> None:
    """Colours are turned first, then normalised: mean and std are in the model's order."""
    model = models.save(models.conv(opset=12), tmp_path / "m.onnx")
    color = ("bgr",) if blue_first else ()
    settings = Settings(("any",), (model,), mean=MEAN, std=STD, color=color)
    made = staging.stage(settings, onnx_model.load(model, toolkit), True, toolkit, tmp_path)
    (pixels,) = [np.load(tmp_path / Path(path).name) for path in made.heldout]
    (fed,) = judgement.held_out(made, tmp_path)
    wanted = pixels[..., ::-1] if blue_first else pixels
    assert np.allclose(fed[:, 0].transpose(0, 2, 3, 1), (wanted - np.array(MEAN)) / np.array(STD))


@pytest.mark.parametrize(
    ("second", "color", "sent", "blue_first"),
    [
        ((1, 3, 8, 8), (), "0 1 2#0 1 2", (False, False)),
        ((1, 3, 8, 8), ("rgb", "bgr"), "0 1 2#2 1 0", (False, True)),
        ((1, 3, 8, 8), ("bgr",), "2 1 0#2 1 0", (True, True)),
        ((1, 1, 8, 8), (), None, (False, False)),
        ((1, 1, 8, 8), ("bgr",), "2 1 0#0 1 2", (True, False)),
        ((1, 10), (), None, (False, False)),
    ],
    ids=str,
)
def test_every_input_in_colour_has_an_order(
    second: tuple[int, ...],
    color: tuple[str, ...],
    sent: str | None,
    blue_first: tuple[bool, ...],
    tmp_path: Path,
) -> None:
    """The toolkit documents it for colours alone: unless it is asked for, others are left to the toolkit."""
    made = taken(tmp_path, (1, 3, 8, 8), second, color=color, toolkit=LEGACY)
    assert (made.config.get(LEGACY.colours.option), made.blue_first) == (sent, blue_first)


@pytest.mark.parametrize(
    ("shapes", "color", "words"),
    [
        ([(1, 3, 8, 8)], ("rgb", "bgr"), "has 2 orders, the model has 1 input"),
        ([(1, 1, 8, 8)], ("bgr",), "no input of the model takes images in colour"),
    ],
)
def test_order_of_colours_that_no_input_has(
    shapes: list[tuple[int, ...]], color: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Fault, match=words):
        taken(tmp_path, *shapes, color=color)


def test_inputs_differ_in_a_list_where_the_toolkit_takes_one(tmp_path: Path) -> None:
    made = taken(tmp_path, (1, 1, 8, 8), (1, 3, 8, 8), color=("bgr",))
    assert made.config[TOOLKIT.colours.option] == [False, True] and made.blue_first == (False, True)


def test_colours_of_arrays_are_not_left_to_a_toolkit_that_turns_them(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(Fault, match="whether those of arrays is unknown"):
        taken(tmp_path, (1, 3, 8, 8), color=("bgr",), dataset=tmp_path / "arrays", toolkit=LEGACY)


def taken(
    folder: Path,
    *shapes: tuple[int, ...],
    mean: Numbers = (),
    std: Numbers = (),
    dataset: Path | None = None,
    color: tuple[str, ...] = (),
    toolkit: Toolkit = TOOLKIT,
) -> Staged:
    """What is staged for an ONNX model that has inputs of these shapes."""
    inputs = [make_tensor_value_info(f"x{place}", FLOAT, shape) for place, shape in enumerate(shapes)]
    outputs = [make_tensor_value_info(f"y{place}", FLOAT, shape) for place, shape in enumerate(shapes)]
    nodes = [make_node("Relu", [x.name], [y.name]) for x, y in zip(inputs, outputs, strict=True)]
    graph = make_graph(nodes, "m", inputs, outputs)
    path = models.save(
        make_model(graph, opset_imports=[make_opsetid("", 12)], ir_version=8), folder / "m.onnx"
    )
    (folder / "in").mkdir()
    settings = Settings(("any",), (path,), mean=mean, std=std, dataset=dataset, color=color)
    return staging.stage(settings, onnx_model.load(path, toolkit), True, toolkit, folder / "in")


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (4, 3, 8, 8)], ids=["four channels", "batch"])
def test_arrays_like_images_are_normalised_when_that_is_asked_for(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    std: Numbers = (2.0, 3.0, 4.0, 5.0)[: shape[1]]
    made = taken(tmp_path, shape, std=std)
    assert made.config == {"mean_values": [[0.0] * shape[1]], "std_values": [list(std)]}
    (given,) = made.inputs
    assert given.image is None and given.scale == ((0.0,) * shape[1], std)
    (arrays,) = judgement.held_out(made, tmp_path / "in")
    raw = np.load(tmp_path / made.heldout[0]).reshape(-1, *shape)
    np.testing.assert_allclose(arrays, raw / np.array(std)[:, None, None], rtol=1e-6)


def test_arrays_are_left_alone_when_nothing_is_asked_for(tmp_path: Path) -> None:
    made = taken(tmp_path, (1, 4, 8, 8))
    assert not made.config and made.inputs[0].scale is None


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 8), (1, 3, 8)])
def test_mean_that_no_input_takes_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(Fault, match="--mean: toolkits normalise") as caught:
        taken(tmp_path, shape, mean=(1.0,))
    assert caught.value.code == "bad-option" and "x".join(map(str, shape)) in caught.value.message


def test_input_beside_an_image_is_not_normalised_and_that_is_said(tmp_path: Path) -> None:
    made = taken(tmp_path, (1, 3, 8, 8), (1, 4, 8, 8), std=(2.0,))
    assert made.config["std_values"] == [[2.0] * 3, [1.0] * 4]
    assert "mean and std do not apply to 'x1': not normalised" in made.notes


@pytest.mark.parametrize(
    ("most", "mean", "std", "warned"),
    [
        (1, (), (), True),
        (1, (104.0, 117.0, 123.0), (1.0,), True),
        (1, (0.0,), (1.0,), False),
        (1, (0.5,), (0.25,), False),
        (255, (), (), False),
    ],
)
def test_arrays_that_would_be_normalised_twice(
    most: int, mean: Numbers, std: Numbers, warned: bool, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((3, 8, 8)) * most)
    (tmp_path / "list.txt").write_text("a.npy")
    made = taken(tmp_path, (1, 3, 8, 8), mean=mean, std=std, dataset=tmp_path / "list.txt")
    assert any("once more" in line for line in made.warnings) == warned
