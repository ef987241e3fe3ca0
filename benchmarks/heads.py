"""Does every export's head survive preparation? Prepares a folder of ONNX files and compares what they find.

    python -m benchmarks.heads FOLDER [--inputs 2]

Each file is prepared as every `--head`, `auto` for int8 and for floats. On random images (not the one that
preparation itself uses) the prepared graph's outputs go through the reference decoder and are compared with
the boxes that the file's own decoding gives. Prints a markdown table; exit status 1 when a head is lost
(coordinates off by more than 1e-3 of the image size, scores by 1e-4), a decoded head is not flagged by the
mixed-range guard, a default int8 head is, or a preparation takes more than 5 s (larger files than 50 MB:
more).

Exports of Ultralytics' architectures are made by benchmarks/export_ultralytics.py.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from host.decoding.contract import Decode
from host.decoding.decoder import Detections, decode
from host.graph.layouts import LAYOUTS
from host.graph.prepare import prepare
from host.graph.proof import COORDINATES, SCORES, Distance, distance
from host.graph.request import Prepared
from host.sources.onnx import model as onnx_model
from host.sources.onnx.trial import random_inputs, run
from shared import chips
from shared.faults import Fault

CHIP = "rk3588"
SECONDS, BYTES = 5.0, 50e6

Inputs = Mapping[str, NDArray[Any]]


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=2)
    options = parser.parse_args(arguments)
    columns = (
        "file",
        "head",
        "int8",
        "float",
        "boxes",
        "scores",
        "layouts",
        "raw flagged",
        "int8 flagged",
        "s",
    )
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    paths = sorted(options.folder.glob("*.onnx"))
    bad = [path.stem for path in paths if not measure(path, options.inputs)]
    print(f"\n{len(paths) - len(bad)} of {len(paths)} are as they should be. {', '.join(bad)}")
    return 1 if bad else 0


def measure(path: Path, count: int) -> bool:
    """Print a file's row; returns whether it is as it should be."""
    proto = onnx_model.load(path, chips.chip(CHIP).toolkit).proto
    started = time.perf_counter()
    default = prepare(proto, "auto", 8)
    seconds = time.perf_counter() - started
    made = {"int8": default, "float": prepare(proto, "auto", None), **layouts(proto)}
    images = [random_image(proto, seed) for seed in range(1, count + 1)]
    gap = largest(proto, list(made.values()), images)
    own = default.source
    raw, cut = bool(made["raw"].mixed), bool(default.mixed)
    cells = (
        path.stem,
        f"{own.family} {own.task}",
        f"{default.decode.layout}, {len(default.decode.outputs)}",
        made["float"].decode.layout,
        *(("", "") if gap is None else (f"{gap.coordinates:.0e}", f"{gap.scores:.0e}")),
        str(len({each.decode.layout for each in made.values()})),
        *("yes" if each else "no" for each in (raw, cut)),
        f"{seconds:.2f}",
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    kept = gap is None or (gap.coordinates <= COORDINATES and gap.scores <= SCORES)
    quick = seconds <= SECONDS * max(1, path.stat().st_size / BYTES)
    return kept and raw == mixes(own) and not cut and quick


def layouts(proto: ModelProto) -> dict[str, Prepared]:
    """The graph in every layout that its head has."""
    made = {}
    for layout in LAYOUTS:
        try:
            made[layout] = prepare(proto, layout, 8)
        except Fault as fault:
            if fault.code != "head-unknown":
                raise
    return made


def mixes(own: Decode) -> bool:
    """Whether decoded boxes share an output with scores."""
    codings = [{part.coding for part in output.parts} for output in own.outputs]
    return any("probability" in each and each & {"xywh", "xyxy"} for each in codings)


def largest(proto: ModelProto, made: Sequence[Prepared], images: Sequence[Inputs]) -> Distance | None:
    """The largest differences over layouts and images; None where the outputs have no known meaning."""
    made = [each for each in made if each.decode.known]
    if not made or not made[0].source.known:
        return None
    gaps = [
        distance(
            found(proto, made[0].source, image), found(each.proto, each.decode, image), each.decode.input_size
        )
        for each in made
        for image in images
    ]
    return Distance(
        *(max(values) for values in zip(*((g.coordinates, g.scores, g.masks) for g in gaps), strict=True))
    )


def found(proto: ModelProto, how: Decode, image: Inputs) -> Detections:
    """What the outputs hold, decoded."""
    return decode(
        dict(zip((value.name for value in proto.graph.output), run(proto, image), strict=True)), how
    )


def random_image(proto: ModelProto, seed: int) -> Inputs:
    """Noise like that of the preparation, from another seed."""
    random = np.random.default_rng(seed)
    return {name: random.random(array.shape, np.float32) for name, array in random_inputs(proto).items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
