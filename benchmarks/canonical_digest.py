"""Proves the canonical digest by building: one model, many processes in different environments, one digest.

    python benchmarks/canonical_digest.py --python TOOLKIT_PYTHON --model m.onnx --dataset list.txt \
        --job rk3588:int8 --job rv1106:int8 --job rk2118:fp16 [--rounds 5] [--disable-rule R]

Each round builds all jobs once per environment below, every time in a new process, and the table counts the
different SHA-256s and digests per job. The last line compares CPU time with and without zeroed memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shared import digest, heap

# name -> prefix of the command, variables, working directory below the scratch folder, extra imports
ENVIRONMENTS: dict[str, tuple[list[str], dict[str, str], str, str]] = {
    "plain": ([], {}, ".", ""),
    "long-environment": ([], {"PADDING": "x" * 3000, "PYTHONHASHSEED": "0"}, ".", ""),
    "deep-path": ([], {"PYTHONHASHSEED": "7", "TMPDIR": "."}, "a/much/deeper/working/folder", ""),
    "fixed-addresses": (["setarch", "-R"], {"OMP_NUM_THREADS": "1", "HOME": "/nonexistent"}, ".", ""),
    "one-cpu-other-imports": (
        ["taskset", "-c", "0"],
        {"LC_ALL": "C"},
        ".",
        "sqlite3,asyncio,cv2,scipy.sparse",
    ),
}


def child(settings: dict[str, object], out: Path) -> None:
    """Builds every job into `out`; runs in the toolkit's environment."""
    for module in filter(None, str(settings["imports"]).split(",")):
        __import__(module)
    from rknn.api import RKNN
    from rknn.api.rknn_compiler import RKNNCompiler

    RKNNCompiler.build = heap.zero_during(RKNNCompiler.build)
    for job in settings["jobs"]:  # type: ignore[attr-defined]
        chip, dtype = job.split(":")
        rknn = RKNN()
        rules = {"disable_rules": settings["rules"]} if settings["rules"] else {}
        rknn.config([settings["mean"]], [settings["std"]], target_platform=chip, **rules)
        rknn.load_onnx(str(settings["model"]))
        rknn.build(do_quantization=dtype == "int8", dataset=settings["dataset"])
        rknn.export_rknn(str(out / f"{chip}-{dtype}.rknn"))


def build(
    python: str, settings: dict[str, object], environment: str, scratch: Path, zeroed: bool = True
) -> float:
    """Runs `child` in a new process; returns its CPU seconds."""
    prefix, variables, folder, imports = ENVIRONMENTS[environment]
    (scratch / folder).mkdir(parents=True, exist_ok=True)
    if zeroed:
        variables = {**variables, **heap.ENVIRONMENT}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [*prefix, python, str(Path(__file__).resolve()), "--child", str(scratch)],
        input=json.dumps({**settings, "imports": imports}),
        cwd=scratch / folder,
        env={**os.environ, **variables, "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"the build failed in environment {environment}:\n{run.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, help="an interpreter that has rknn-toolkit2")
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--dataset", required=True, type=Path)
    parser.add_argument("--job", action="append", required=True, help="CHIP:int8 or CHIP:fp16")
    parser.add_argument("--mean", default="0,0,0")
    parser.add_argument("--std", default="255,255,255")
    parser.add_argument("--disable-rule", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    settings: dict[str, object] = {
        "model": str(arguments.model.resolve()),
        "dataset": str(arguments.dataset.resolve()),
        "jobs": arguments.job,
        "rules": arguments.disable_rule,
        "mean": [float(value) for value in arguments.mean.split(",")],
        "std": [float(value) for value in arguments.std.split(",")],
    }
    files: dict[str, list[bytes]] = defaultdict(list)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(arguments.rounds):
        for environment in ENVIRONMENTS:
            with tempfile.TemporaryDirectory() as scratch:
                cpu = build(arguments.python, settings, environment, Path(scratch))
                if environment == "plain":
                    seconds[True].append(cpu)
                for path in sorted(Path(scratch).glob("*.rknn")):
                    files[path.stem].append(path.read_bytes())
        with tempfile.TemporaryDirectory() as scratch:
            seconds[False].append(build(arguments.python, settings, "plain", Path(scratch), zeroed=False))

    print(f"{'build':<16}{'builds':>8}{'SHA-256s':>10}{'digests':>9}{'masked bytes':>14}{'of':>11}")
    stable = True
    for name, builds in files.items():
        digests = {digest.canonical(data) for data in builds}
        stable = stable and len(digests) == 1 and None not in digests
        sums = {sha256(data).hexdigest() for data in builds}
        masked = digest.masked_bytes(builds[0])
        print(f"{name:<16}{len(builds):>8}{len(sums):>10}{len(digests):>9}{masked:>14}{len(builds[0]):>11}")
    zeroed, plain = (sum(seconds[key]) / arguments.rounds for key in (True, False))
    print(f"CPU seconds per process: {plain:.2f} plain, {zeroed:.2f} zeroed ({zeroed / plain - 1:+.1%})")
    return 0 if stable else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(json.load(sys.stdin), Path(sys.argv[2]))
    else:
        sys.exit(main())
