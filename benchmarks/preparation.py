"""How much of a conversion's time is the preparation of its graph, measured side by side.

    python benchmarks/preparation.py MODEL.onnx ... [--chip rv1106] [--rounds 3]

Each round prepares every model and converts it to int8 with the local engine, calibrated with noise (8
images: no conversion is shorter), without the cache. Prints a markdown table of medians in seconds;
exit status 1 when a preparation takes 10 % of its conversion or more, or 5 s.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from host import plan  # noqa: E402
from host.sources.onnx import model as onnx_model  # noqa: E402
from host.steps import models  # noqa: E402
from shared import chips  # noqa: E402

SHARE, SECONDS = 0.1, 5.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--chip", default="rv1106", type=chips.chip)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    good = True
    print("| model | size | preparation | conversion | share |")
    print("|---|---|---|---|---|")
    for path in options.models:
        pairs = [(prepared(path, options.chip), converted(path, options.chip)) for _ in range(options.rounds)]
        preparation, conversion = (statistics.median(column) for column in zip(*pairs, strict=True))
        share = preparation / conversion
        good = good and share < SHARE and preparation < SECONDS
        size = path.stat().st_size >> 20
        print(f"| {path.stem} | {size} MB | {preparation:.2f} | {conversion:.2f} | {share:.1%} |", flush=True)
    return 0 if good else 1


def prepared(path: Path, chip: chips.Chip) -> float:
    """The seconds that the preparation of a model takes; reading and checking it is no part of it."""
    source = onnx_model.load(path, chip.toolkit)
    wanted = plan.preparation(chip, chips.dtype(chip, "int8"), "auto")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        models.make(source, wanted, chip.toolkit, Path(folder) / "model")
        return time.perf_counter() - started


def converted(path: Path, chip: chips.Chip) -> float:
    """The seconds that a whole conversion takes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "invoke", "convert", "--chip", chip.name, "--dtype", "int8"]
        command += ["--model", str(path.resolve()), "--output", folder, "--engine", "local", "--no-cache"]
        done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds: float = json.loads(done.stdout)["duration_s"]
    return seconds


if __name__ == "__main__":
    sys.exit(main())
