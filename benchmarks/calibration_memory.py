"""Measures the memory and time of calibration: the evidence behind host/calibration/memory.py.

Offers 1,000 images of 640 x 640 for several models, algorithms and limits, calibrates with as many as
`image_count` allows, and compares the build's peak resident memory with its estimate and the limit.

    PYTHON benchmarks/calibration_memory.py --toolkit-python TOOLKIT_PYTHON [--images 1000] [--size 640]

PYTHON has rkforge's requirements; TOOLKIT_PYTHON is one with rknn-toolkit2: the venv of the local engine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from host.calibration import listing, memory
from host.calibration.select import Selection, select
from host.calibration.staging import Staged, stage
from shared import chips

BUILD = """
import json, resource, sys
import numpy
from rknn.api import RKNN

model, dataset, held_out, algorithm = sys.argv[1:]
rknn = RKNN()
rknn.config(target_platform="rk3588", mean_values=[[0] * 3], std_values=[[255] * 3],
            quantized_algorithm=algorithm)
assert rknn.load_onnx(model) == 0
assert rknn.build(do_quantization=True, dataset=dataset) == 0
assert rknn.init_runtime() == 0
for image in numpy.load(held_out):
    rknn.inference([image[None]], data_format=["nhwc"])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


FORMATS = chips.toolkit("toolkit2").calibration


class Case(NamedTuple):
    """Channels and stride of each 3x3 convolution, the algorithm, and the memory a job may use."""

    name: str
    layers: tuple[tuple[int, int], ...]
    algorithm: str
    limit: int
    asked: int | None = None


class Input(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str
    channels_last: bool = False


DETECTOR = ((16, 2), (32, 2), (64, 2), (128, 2))
FULL_SIZE = ((64, 1), (8, 2), (16, 2))
CASES = (
    Case("detector", DETECTOR, "normal", 2 * memory.GIB, asked=1000),
    Case("detector", DETECTOR, "normal", 1 * memory.GIB),
    Case("detector", DETECTOR, "kl_divergence", 1 * memory.GIB),
    Case("detector", DETECTOR, "kl_divergence", 4 * memory.GIB),
    Case("detector", DETECTOR, "mmse", 1 * memory.GIB),
    Case("full-size", FULL_SIZE, "normal", 2 * memory.GIB),
    Case("full-size", FULL_SIZE, "kl_divergence", 4 * memory.GIB),
)


def network(layers: tuple[tuple[int, int], ...], size: int) -> onnx.ModelProto:
    """A chain of convolutions with seeded weights on a square RGB image."""
    rng = np.random.default_rng(0)
    nodes, weights, tensor, before = [], [], "x", 3
    for index, (channels, stride) in enumerate(layers):
        weight = rng.normal(0, (2 / (9 * before)) ** 0.5, (channels, before, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(
            helper.make_node("Conv", [tensor, f"w{index}"], [f"c{index}"], pads=[1] * 4, strides=[stride] * 2)
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        tensor, before = f"r{index}", channels
    nodes.append(helper.make_node("GlobalAveragePool", [tensor], ["y"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, before, 1, 1])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


def photos(folder: Path, count: int) -> None:
    """Smooth random JPEGs of 1280 x 960 pixels."""
    rng = np.random.default_rng(0)
    for index in range(count):
        blobs = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        blobs.resize((1280, 960), Image.Resampling.BICUBIC).save(folder / f"{index:04}.jpg")


def stage_for(
    case: Case, dataset: Path, size: int, folder: Path
) -> tuple[Selection, Staged, memory.Footprint]:
    proto = network(case.layers, size)
    onnx.save(proto, folder / "model.onnx")
    model = memory.footprint(proto)
    images = listing.find_images(dataset)
    count, _ = memory.image_count(len(images), case.asked, case.limit, case.algorithm, model)
    selection = select(images, count)
    staged = stage(selection, Input("x", (1, 3, size, size), "float32"), "letterbox", folder, FORMATS)
    return selection, staged, model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--toolkit-python", required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=640)
    arguments = parser.parse_args()
    print(f"{arguments.images} images of {arguments.size} x {arguments.size}; memory in MiB\n")
    print("| model | algorithm | limit | images | stage s | estimate | peak | build s |\n|" + "---|" * 8)
    with tempfile.TemporaryDirectory() as name:
        dataset = Path(name) / "photos"
        dataset.mkdir()
        photos(dataset, arguments.images)
        for number, case in enumerate(CASES):
            folder = Path(name) / str(number)
            folder.mkdir()
            start = time.perf_counter()
            selection, staged, model = stage_for(case, dataset, arguments.size, folder)
            staged_s = time.perf_counter() - start
            count = len(selection.calibration)
            command = [arguments.toolkit_python, "-c", BUILD, str(folder / "model.onnx")]
            command += [str(staged.calibration), str(staged.held_out[0]), case.algorithm]
            start = time.perf_counter()
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            built_s = time.perf_counter() - start
            peak = json.loads(ended.stdout.splitlines()[-1])
            estimate = memory.estimate_bytes(count, case.algorithm, model)
            mib = [value // memory.MIB for value in (case.limit, estimate, peak)]
            row = (case.name, case.algorithm, mib[0], count, f"{staged_s:.1f}", *mib[1:], f"{built_s:.0f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            assert peak <= case.limit, "calibration exceeded its limit"


if __name__ == "__main__":
    main()
