"""Converts models for every chip with every dtype the table offers, on both engines, and compares digests.

    python benchmarks/all_chips.py MODEL.onnx [MODEL.onnx ...] [--engine docker --engine local]

Prints one Markdown row per model, chip and dtype. Exit status 1 when a conversion fails or two engines
disagree about a canonical digest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared import chips  # noqa: E402


def offered() -> dict[str, list[str]]:
    """dtype -> the chips that the table offers it for, of toolkits that can run what they built."""
    able = defaultdict(list)
    for chip in chips.chips().values():
        for dtype in chip.offered if chip.toolkit.simulator else ():
            able[dtype].append(chip.name)
    return able


def convert(model: Path, dtype: str, names: list[str], engine: str, folder: Path) -> dict[str, Any]:
    """The --json document of one request."""
    command = [sys.executable, "-m", "invoke", "convert", "--model", str(model), "--dtype", dtype]
    command += ["--chip", ",".join(names), "--engine", engine, "--jobs", "2", "--no-cache", "--allow-dead"]
    command += ["--json", "--output", str(folder / model.stem / engine / dtype)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("--engine", action="append", choices=["docker", "local"])
    options = parser.parse_args()
    chosen = options.engine or ["docker", "local"]
    bad = 0
    print(f"| model | chip | dtype | lowest cosine | verdict | {' | '.join(chosen)} | same digest |")
    print("|---" * (6 + len(chosen)) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        for model in options.model:
            for dtype, names in offered().items():
                found = {engine: convert(model, dtype, names, engine, Path(scratch)) for engine in chosen}
                for chip in names:
                    row, good = _row(model, chip, dtype, found)
                    bad += not good
                    print(row, flush=True)
    print(f"\n{bad} bad")
    return 1 if bad else 0


def _row(model: Path, chip: str, dtype: str, found: dict[str, dict[str, Any]]) -> tuple[str, bool]:
    states, digests, lowest, verdict = [], [], "-", "-"
    for document in found.values():
        artifact = next((entry for entry in document["artifacts"] if entry["chip"] == chip), None)
        failure = next((entry for entry in document.get("failures", []) if entry["chip"] == chip), None)
        states.append("ok" if artifact else (failure or document["fault"])["message"][:80])
        digests.append(artifact and artifact["canonical_digest"])
        for checks in document.get("checks", []):
            if checks["chip"] == chip and "outputs" in checks:
                lowest = f"{min(output['cosine'] for output in checks['outputs']):.5f}"
                verdict = checks["verdict"]
    same = digests[0] is not None and len(set(digests)) == 1
    columns = [model.stem, chip, dtype, lowest, verdict, *states, "yes" if same else "NO"]
    return f"| {' | '.join(columns)} |", same and all(state == "ok" for state in states)


if __name__ == "__main__":
    sys.exit(main())
