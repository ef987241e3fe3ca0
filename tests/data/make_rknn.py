"""Builds the .rknn files of this folder, in a toolkit2 environment: make_rknn.py OUT SUFFIX CHIP:DTYPE...

Files whose names differ in SUFFIX only come from two runs, so that the tests meet what differs between runs.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from shared import heap


def tiny_model() -> onnx.ModelProto:
    """Two heads on one convolution; 10 score channels, because some chips pack channels by 8."""
    rng = np.random.default_rng(0)
    shapes = {"stem": (16, 3, 3, 3), "to_scores": (10, 16, 1, 1), "to_boxes": (4, 16, 3, 3)}
    weights = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32) * np.float32(0.2), n)
        for n, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["features"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("Conv", ["active", "to_scores"], ["scores"]),
        helper.make_node("Conv", ["active", "to_boxes"], ["boxes"], pads=[1] * 4),
    ]
    sizes = {"image": [1, 3, 32, 48], "scores": [1, 10, 16, 24], "boxes": [1, 4, 16, 24]}
    image, *heads = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sizes.items()]
    graph = helper.make_graph(nodes, "tiny", [image], heads, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 8
    return model


def main(out: Path, suffix: str, jobs: list[str]) -> None:
    from rknn.api import RKNN
    from rknn.api.rknn_compiler import RKNNCompiler

    RKNNCompiler.build = heap.zero_during(RKNNCompiler.build)
    with tempfile.TemporaryDirectory() as work:
        onnx.save(tiny_model(), f"{work}/tiny.onnx")
        images = np.random.default_rng(1).integers(0, 256, (2, 1, 3, 32, 48)).astype(np.float32)
        for i, image in enumerate(images):
            np.save(f"{work}/{i}.npy", image)
        Path(work, "list.txt").write_text(f"{work}/0.npy\n{work}/1.npy\n")
        for chip, dtype in (job.split(":") for job in jobs):
            rknn = RKNN()
            mean, std = [[1, 2, 3]], [[255, 128, 64]]
            assert rknn.config(mean, std, target_platform=chip, custom_string="made by tests/data") == 0
            assert rknn.load_onnx(f"{work}/tiny.onnx") == 0
            assert rknn.build(do_quantization=dtype == "int8", dataset=f"{work}/list.txt") == 0
            assert rknn.export_rknn(str(out / f"{chip}-{dtype}{suffix}.rknn")) == 0


if __name__ == "__main__":
    if not heap.ready():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **heap.ENVIRONMENT})
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
