"""Does every export convert at the first try? Converts a folder of ONNX files with default flags.

    python benchmarks/default_flags.py FOLDER [--chips rk3588 rv1106] [--dtype int8]

Every file goes through `invoke convert` with the local engine, without the cache and without a dataset, so
that a chip that has fp16 gets it unless --dtype says otherwise. Prints a markdown table: how each conversion
ended, how often the toolkit was asked again, the verdict on the simulated outputs, how many of the float
boxes the simulated ones hit, and seconds; exit status 1 when one conversion failed.

Exports of Ultralytics' architectures are made by benchmarks/export_ultralytics.py.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("file", "chip", "dtype", "ended", "asked again", "verdict", "boxes", "seconds")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chips", nargs="+", default=["rk3588", "rv1106"])
    parser.add_argument("--dtype", default="")
    options = parser.parse_args()
    good = True
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for path in sorted(options.folder.glob("*.onnx")):
        for row in rows(path, options.chips, options.dtype):
            good = good and "ok" in row
            print(f"| {path.stem} | " + " | ".join(row) + " |", flush=True)
    return 0 if good else 1


def rows(path: Path, chips: Sequence[str], dtype: str) -> Iterator[tuple[str, ...]]:
    """One row for each chip, the first column left out."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "invoke", "convert", "--chip", ",".join(chips), "--json"]
        command += ["--model", str(path.resolve()), "--output", folder, "--engine", "local", "--no-cache"]
        command += ["--dtype", dtype] if dtype else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        document: dict[str, Any] = json.loads(done.stdout)
        reports = [json.loads(file.read_text()) for file in sorted(Path(folder).rglob("report.json"))]
    for report in reports:
        decoded = report["checks"]["decoded"] or {}
        boxes = f"{decoded['found']} of {decoded['expected']}" if "expected" in decoded else ""
        seconds = f"{report['durations_s']['total']:.1f}"
        asked = str(len(report["retries"]))
        yield report["chip"], report["dtype"], "ok", asked, report["checks"]["verdict"], boxes, seconds
    for fault in document.get("failures", [document["fault"]] if "fault" in document else []):
        yield fault.get("chip", "all"), fault.get("dtype", ""), fault["code"], "", "", "", ""


if __name__ == "__main__":
    sys.exit(main())
