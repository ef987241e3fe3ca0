"""What is staged for models that are no ONNX: how images get into inputs of other layouts and types."""

from pathlib import Path

import numpy as np
import pytest

from host.settings import Settings
from host.sources.native import model as native
from host.sources.source import Source
from host.steps import staging
from host.steps.staging import Staged
from shared import chips

DATA = Path(__file__).parents[1] / "data"
TOOLKIT = chips.toolkit("toolkit2")


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
