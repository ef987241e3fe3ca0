"""How the drivers hand held-out inputs to toolkits and frameworks: which sample, which order, which bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from legacy import analysis as legacy_analysis
from shared.contract import Source
from tests.unit.test_contract import JOB
from toolkit2 import analysis, heldout, reference, simulator

Array = NDArray[Any]
IMAGES = np.arange(5 * 8 * 6 * 3, dtype=np.uint8).reshape(5, 8, 6, 3)
MAPS = np.arange(5 * 3 * 8 * 6, dtype=np.float32).reshape(5, 1, 3, 8, 6)
ROWS = np.arange(5 * 7, dtype=np.float32).reshape(5, 1, 7)
FIRST_IMAGE = IMAGES[:1].transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("stacked", "toolkit2", "legacy"),
    [
        (IMAGES, FIRST_IMAGE, IMAGES[:1]),
        (MAPS, MAPS[0], MAPS[0].transpose(0, 2, 3, 1)),
        (ROWS, ROWS[0], ROWS[0]),
    ],
    ids=["images", "maps", "rows"],
)
def test_error_analysis_gets_the_first_sample_as_its_toolkit_reads_arrays(
    stacked: Array, toolkit2: Array, legacy: Array
) -> None:
    np.testing.assert_array_equal(analysis._sample(stacked), toolkit2)
    np.testing.assert_array_equal(legacy_analysis._sample(stacked), legacy)


@pytest.mark.parametrize(
    ("sample", "dtype", "channels_last", "expected"),
    [
        (IMAGES[:1], "f4", True, (IMAGES[:1] - np.float32(2)) / np.float32(4)),
        (IMAGES[:1], "f4", False, (FIRST_IMAGE - np.float32(2)) / np.float32(4)),
        (IMAGES[:1], "u1", True, IMAGES[:1]),
        (IMAGES[:1], "i1", False, FIRST_IMAGE.astype(np.int8)),
        (MAPS[0], "f4", False, (MAPS[0] - np.float32(2)) / np.float32(4)),
        (MAPS[0], "f2", True, ((MAPS[0] - np.float32(2)) / np.float32(4)).astype(np.float16)),
    ],
)
def test_framework_gets_what_the_network_sees(
    sample: Array, dtype: str, channels_last: bool, expected: Array
) -> None:
    """Floats are normalised by the input's own mean and standard deviation, bytes stay as they are."""
    job = JOB._replace(config={"mean_values": [[1], [2]], "std_values": [[3], [4]]})
    asked = reference._as_asked(sample, job, 1, np.dtype(dtype), channels_last)
    assert asked.dtype == dtype and asked.flags.c_contiguous
    np.testing.assert_array_equal(asked, expected)


def test_images_are_blue_first_where_the_model_takes_them_so(tmp_path: Path) -> None:
    """The toolkit turns what calibrates by itself, and nothing that is fed to what it built."""
    paths = [str(tmp_path / name) for name in ("images.npy", "maps.npy")]
    np.save(paths[0], IMAGES)
    np.save(paths[1], MAPS)
    for blue_first in (False, True):
        job = JOB._replace(config={"quant_img_RGB2BGR": [blue_first, True]}, heldout=paths)
        images, maps = heldout.read(job)
        np.testing.assert_array_equal(images, IMAGES[..., ::-1] if blue_first else IMAGES)
        np.testing.assert_array_equal(maps, MAPS)


@pytest.mark.parametrize(
    ("form", "layouts"),
    [("onnx", ["nhwc", "nchw"]), ("tflite", ["nhwc", "nhwc"])],
    ids=lambda form: str(form),
)
def test_simulator_is_told_the_order_of_channels(form: str, layouts: list[str], tmp_path: Path) -> None:
    """Images have theirs last, whatever the model; other arrays come in the order of their format."""
    paths = [str(tmp_path / name) for name in ("images.npy", "maps.npy")]
    np.save(paths[0], IMAGES)
    np.save(paths[1], MAPS)

    class Simulator:
        def init_runtime(self) -> int:
            return 0

        def inference(self, inputs: list[Array], data_format: list[str]) -> list[Array]:
            assert data_format == layouts
            return [inputs[0].max(keepdims=True), inputs[1].sum(keepdims=True)]

    job = JOB._replace(source=Source(form, {}, [], [], []), heldout=paths)
    first, second = simulator.simulate(Simulator(), job, str(tmp_path))
    assert np.load(tmp_path / first).ravel().tolist() == IMAGES.max(axis=(1, 2, 3)).tolist()
    assert np.load(tmp_path / second).ravel().tolist() == MAPS.sum(axis=(1, 2, 3, 4)).tolist()
