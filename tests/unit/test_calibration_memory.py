"""The measured figures are rknn-toolkit2 2.5.0's, for rk3588: peak RSS of build and simulation."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from host.calibration.memory import GIB, MIB, Footprint, estimate_bytes, footprint, image_count
from shared.faults import Fault

YOLOV8N_640 = Footprint(16 * 320 * 320 * 4, 13 * MIB)
ORIENTATION = Footprint(32 * 112 * 112 * 4, 7 * MIB)
WIDE = Footprint(64 * 640 * 640 * 4, MIB)
HEAVY = Footprint(256 * 16 * 16 * 4, 199 * MIB)


@pytest.mark.parametrize(
    ("model", "algorithm", "images", "measured_mib"),
    [
        (YOLOV8N_640, "normal", 50, 1000),
        (YOLOV8N_640, "normal", 100, 1400),
        (YOLOV8N_640, "kl_divergence", 50, 1300),
        (YOLOV8N_640, "kl_divergence", 100, 2300),
        (YOLOV8N_640, "mmse", 20, 1242),
        (ORIENTATION, "normal", 300, 1294),
        (ORIENTATION, "kl_divergence", 100, 821),
        (ORIENTATION, "mmse", 12, 517),
        (WIDE, "normal", 60, 1387),
        (WIDE, "kl_divergence", 20, 6515),
        (WIDE, "kl_divergence", 60, 18771),
        (HEAVY, "normal", 1, 1419),
    ],
)
def test_estimate_is_above_what_was_measured_and_not_far(
    model: Footprint, algorithm: str, images: int, measured_mib: int
) -> None:
    ratio = estimate_bytes(images, algorithm, model) / MIB / measured_mib
    assert 1.0 <= ratio <= 1.5


def test_footprint_is_the_largest_tensor_not_the_input() -> None:
    weight = numpy_helper.from_array(np.zeros((16, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("GlobalAveragePool", ["c"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 3, 3, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 1, 1])],
        [weight],
    )
    model = footprint(helper.make_model(graph))
    assert model.largest_activation == 16 * 4 * 4 * 4
    assert 16 * 27 * 4 < model.model < 3000


def test_thousand_images_never_exceed_the_limit() -> None:
    for algorithm in ("normal", "kl_divergence", "mmse"):
        for limit in (GIB, 2 * GIB, 8 * GIB):
            count, _ = image_count(1000, None, limit, algorithm, YOLOV8N_640)
            assert count > 0
            assert estimate_bytes(count, algorithm, YOLOV8N_640) <= limit


def test_implicit_count_shrinks_with_a_warning_in_numbers() -> None:
    count, warning = image_count(1000, None, GIB, "kl_divergence", YOLOV8N_640)
    assert 0 < count < 100
    assert str(count) in warning and "100 images" in warning and "1.0 GiB" in warning
    assert image_count(1000, None, 8 * GIB, "kl_divergence", YOLOV8N_640) == (100, "")
    assert image_count(7, None, 8 * GIB, "kl_divergence", YOLOV8N_640) == (7, "")


def test_asked_for_count_is_met_or_refused() -> None:
    assert image_count(5000, 1000, 8 * GIB, "normal", YOLOV8N_640) == (1000, "")
    with pytest.raises(Fault, match=r"1000 images by kl_divergence .*20\.\d GiB.* 8\.0 GiB") as caught:
        image_count(5000, 1000, 8 * GIB, "kl_divergence", YOLOV8N_640)
    assert caught.value.code == "dataset-too-large"
    fitting = int(caught.value.hint.split("--max-images ")[1].split()[0])
    assert image_count(5000, fitting, 8 * GIB, "kl_divergence", YOLOV8N_640) == (fitting, "")


def test_model_that_does_not_fit_at_all() -> None:
    with pytest.raises(Fault, match="Not even one image") as caught:
        image_count(10, None, 512 * MIB, "normal", WIDE)
    assert "--memory 0.9g" in caught.value.hint
