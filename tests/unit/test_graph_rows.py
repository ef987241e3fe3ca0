"""Rows that an NPU cannot move are named, and no others."""

import pytest
from onnx import TensorProto
from onnx.helper import make_tensor_value_info

from host.graph.rows import too_long
from tests import models


@pytest.mark.parametrize(
    ("shape", "longest", "told"),
    [
        ((1, 84, 8400, 1), 8192, True),
        ((1, 84, 8400), 8192, True),
        ((1, 84, 8192, 1), 8192, False),
        ((1, 84, 8400, 1), 0, False),
        ((1, 64, 160, 160), 8192, False),
        ((1, 10000), 8192, False),
    ],
)
def test_long_rows(shape: tuple[int, ...], longest: int, told: bool) -> None:
    proto = models.conv()
    proto.graph.output[0].CopyFrom(make_tensor_value_info("y", TensorProto.FLOAT, shape))
    found = too_long(proto, longest)
    assert len(found) == told
    assert all("8400 values" in line and "8192" in line for line in found)
