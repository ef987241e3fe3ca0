"""Where the operators of models run on chips, as the compiler tells: the evidence behind docs/placement.md.

    python benchmarks/placement.py MODEL.onnx... --chips rv1106 rk3588 [--option=--head=raw] [--output T.md]

Every model is converted for every chip with `invoke convert` (noise calibrates, which decides nothing here);
what the placement check or the dead-output check refuses is kept and counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def convert(model: Path, chips: list[str], options: list[str], folder: Path) -> dict[str, Any]:
    """The document of one conversion for all chips."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "convert", "--json", *options]
    command += ["--model", str(model), "--chip", ",".join(chips), "--output", str(folder), "--jobs", "2"]
    done = subprocess.run(
        [*command, "--allow-cpu", "--allow-dead"], capture_output=True, text=True, check=False
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def rows(model: Path, document: dict[str, Any]) -> Iterator[str]:
    """One row of the table per chip."""
    for each in document.get("placements", ()):
        told = [
            f"{found['op']} x{len(found['names'])} ({found['share']:.0%})"
            + ("" if found["runs"] else " **missing**")
            for found in each["fallbacks"]
        ]
        floats = ", ".join(f"{found['op']} x{len(found['names'])}" for found in each["floats"])
        cells = [model.stem, f"{each['chip']}-{each['dtype']}", str(each["targets"].get("NPU", 0))]
        cells += [", ".join(told), floats, f"{each['internal_kb']:.0f}", f"{each['weight_kb']:.0f}"]
        yield f"| {' | '.join(cells)} |"
    for failed in document.get("failures", ()):
        yield f"| {model.stem} | {failed['chip']}-{failed['dtype']} | | {failed['code']} | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Where do the operators of models run?")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--chips", nargs="+", default=["rk3588", "rv1106"])
    parser.add_argument("--option", action="append", default=[], help="of invoke convert; repeatable")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    lines = [
        "| model | job | NPU | CPU (memory traffic) | float16 | working kB | weights kB |",
        "|---" * 7 + "|",
    ]
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            lines += rows(model, convert(model.absolute(), options.chips, options.option, Path(folder)))
        print(*lines[-len(options.chips) :], sep="\n", flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
