"""Compare the Darknet bridge with OpenCV's reader and with Darknet's own library, on folders of .cfg files.

Every network gets random weights. Prints a markdown table with the largest difference of the outputs, as a
share of the value or of 1 (where all are smaller, of the largest); exit status 1 where one that can be
compared differs by more than 1e-4.

    apt-get download darknet && dpkg-deb -x darknet_*.deb DEBIAN
    python -m benchmarks.darknet_bridge --library DEBIAN/usr/lib/darknet/libdarknet.so \\
        DEBIAN/usr/share/darknet/cfg
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from host.sources import darknet
from host.sources.darknet.cfg import Network, read
from host.sources.onnx.trial import run
from shared.faults import Fault
from tests import darknets

TOLERANCE = 1e-4
TIMEOUT_S = 900


class Row(NamedTuple):
    """One network."""

    name: str
    layers: str = ""
    parameters: str = ""
    output: str = ""
    opencv: str = ""
    original: str = ""
    bad: bool = False


def row(cfg: Path, library: Path | None) -> Row:
    """Compare one network."""
    try:
        network = read(cfg)
    except Fault as fault:
        return Row(cfg.name, output="refused: " + fault.message.removeprefix(f"{cfg}, "))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "random.weights")
        alone = darknets.of_batch_one(cfg, Path(folder, cfg.name))
        version = darknets.FORK if library and darknets.Darknet(library).fork else darknets.ORIGINAL
        darknets.write_weights(weights, network, version=version)
        proto = darknet.to_onnx(cfg, weights)
        image = darknets.image(network)
        (output,) = run(proto, {"data": image})
        found = darknets.of_bridge(output, network)
        opencv, cv_bad = _gap(lambda: darknets.of_opencv(alone, weights, image), found)
        original, own_bad = "", False
        if library:
            original, own_bad = _gap(lambda: _aside(library, alone, weights, network), found)
        shape = list(proto.graph.output[0].type.tensor_type.shape.dim)
        return Row(
            cfg.name,
            str(len(network.layers)),
            f"{weights.stat().st_size // 4 - 5:,}",
            f"[{', '.join(str(each.dim_value) for each in shape)}], spread {output.std():.2g}",
            opencv,
            original,
            own_bad or (cv_bad and not library),
        )


def _gap(other: Callable[[], darknets.Array], found: darknets.Array) -> tuple[str, bool]:
    """The largest difference, and whether it is too large."""
    try:
        gap = darknets.apart(other(), found)
    except (cv2.error, RuntimeError) as error:
        reason = " ".join(str(error).replace("|", "/").split())
        return reason.partition("error: ")[2][:90] or reason[:90], False
    return f"{gap:.1e}", not gap <= TOLERANCE


def _aside(library: Path, cfg: Path, weights: Path, network: Network) -> darknets.Array:
    """What Darknet makes of it, in a process of its own: it prints and exits as it likes."""
    result = cfg.with_suffix(".npy")
    process = multiprocessing.get_context("fork").Process(
        target=_original, args=(library, cfg, weights, network, result)
    )
    process.start()
    process.join(TIMEOUT_S)
    if process.is_alive():
        process.kill()
        raise RuntimeError(f"takes more than {TIMEOUT_S} s")
    if process.exitcode or not result.exists():
        raise RuntimeError(f"ends with status {process.exitcode}")
    output: darknets.Array = np.load(result)
    return output


def _original(library: Path, cfg: Path, weights: Path, network: Network, result: Path) -> None:
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    np.save(result, darknets.Darknet(library).run(cfg, weights, darknets.image(network)))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--library", type=Path, help="libdarknet.so")
    arguments = parser.parse_args()
    files = [
        cfg for path in arguments.paths for cfg in (sorted(path.glob("*.cfg")) if path.is_dir() else [path])
    ]
    print("| .cfg | Layers | Parameters | Output | OpenCV | Darknet |\n|---|---:|---:|---|---:|---:|")
    bad = False
    for cfg in files:
        found = row(cfg, arguments.library)
        print(f"| {' | '.join(found[:-1])} |", flush=True)
        bad |= found.bad
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
