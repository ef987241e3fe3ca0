"""Show that the PyTorch in an environment does not change what rknn-toolkit2 makes.

Converts each model with PyTorch 2.13.0+cpu (what rkforge installs, beyond what the toolkit declares), with
2.4.0 (the last release it declares) and with the slim variant's stand-in, and compares canonical digests,
then the simulator's outputs. Prints a markdown table; what differs is named on stderr, exit status 1.

    python -m benchmarks.torch_equivalence --torch-source wheels MODEL.onnx ...
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from host import jobs, paths, plan, running
from host.settings import Settings
from host.sources.onnx import model as onnx_model
from host.sources.recognition.recognise import recognise
from host.steps import models, staging
from images import installer
from images.pytorch import sources
from images.toolkit2 import install
from shared import chips, contract
from shared.contract import Result

TOOLKIT = chips.toolkit("toolkit2")
WAYS = (("rk3588", "fp16"), ("rk3588", "int8"), ("rk3576", "int8"), ("rv1106", "int8"))
TIMEOUT_S = 1800
EQUIVALENT = {"same digest", "same outputs", "same fault", "refused"}


class Case(NamedTuple):
    """One conversion."""

    model: Path
    chip: str
    dtype: str
    algorithm: str

    @property
    def name(self) -> str:
        """A directory name."""
        return f"{self.model.stem}-{self.chip}-{self.dtype}-{self.algorithm}"


class Outcome(NamedTuple):
    """How it ended; the other fields are empty when there is a fault."""

    fault: str
    digest: str
    outputs: list[Any]
    retries: list[dict[str, Any]]


class Row(NamedTuple):
    """What became of one conversion: the fuse rules it had to do without, and a verdict per environment."""

    case: Case
    rules: set[str]
    declared: str
    slim: str


def main(arguments: Sequence[str]) -> int:
    """Build the environments that are missing, convert everywhere, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--dataset", type=Path, help="calibration images (default: seeded noise)")
    parser.add_argument("--max-images", type=int, default=5)
    parser.add_argument("--algorithms", nargs="+", default=["normal"], choices=TOOLKIT.algorithms)
    parser.add_argument("--toolkit-version", default=TOOLKIT.versions[0], choices=TOOLKIT.versions)
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}")
    parser.add_argument("--torch-source", default="cpu-index", choices=list(sources.SOURCES))
    options = parser.parse_args(arguments)
    cases = [
        Case(model, chip, dtype, algorithm)
        for model in options.models
        for chip, dtype in WAYS
        for algorithm in (options.algorithms if dtype == "int8" else ["normal"])
    ]
    wanted = (("full", options.torch_source), ("full", "pypi"), ("slim", "pypi"))
    found = [
        run(environment(options.toolkit_version, options.python, variant, source), cases, options)
        for variant, source in wanted
    ]
    rows = [compare(case, *outcomes) for case, *outcomes in zip(cases, *found, strict=True)]
    print("| model | conversions | fuse rules off | torch 2.4.0 | slim |")
    print("|---|---|---|---|---|")
    for model, group in itertools.groupby(rows, key=lambda row: row.case.model):
        print("| " + " | ".join([model.stem, *summary(list(group))]) + " |")
    different = [row for row in rows if not {row.declared, row.slim} <= EQUIVALENT]
    for row in different:
        print(f"{row.case.name}: torch 2.4.0 {row.declared}, slim {row.slim}", file=sys.stderr)
    return 1 if different else 0


def environment(version: str, python: str, variant: str, source: str) -> Path:
    """The virtual environment with this PyTorch, made if it is not there."""
    venv = paths.cache() / "benchmarks" / f"{version}-py{python.replace('.', '')}-{variant}-{source}"
    if not (venv / installer.MANIFEST).is_file():
        installer.install(install.RECIPE, venv, python, version, variant, source)
    return venv


def run(venv: Path, cases: Sequence[Case], options: argparse.Namespace) -> list[Outcome]:
    """Convert all cases in one environment, one after another."""
    with tempfile.TemporaryDirectory(prefix="torch-equivalence-") as temporary:
        folder = Path(temporary)
        for case in cases:
            place(case, folder, options)
        command = [str(venv / "bin" / "python"), "-m", TOOLKIT.name]
        subprocess.run([*command, *(str(folder / case.name) for case in cases)], check=True, cwd=paths.ROOT)
        return [outcome(folder / case.name) for case in cases]


def place(case: Case, folder: Path, options: argparse.Namespace) -> None:
    """Make the case's job directory."""
    settings = Settings(
        chips=(case.chip,),
        models=(case.model,),
        dataset=options.dataset,
        max_images=options.max_images,
        dtype=case.dtype,
        head="raw",
        algorithm=case.algorithm,
        toolkit_version=options.toolkit_version,
        timeout_s=TIMEOUT_S,
    )
    (each,) = plan.make(settings, recognise(settings.models), lambda _: str(options.python))
    inputs = folder / f"{case.name}.in"
    inputs.mkdir()
    source = onnx_model.load(case.model, TOOLKIT)
    staged = staging.stage(settings, source, each.quantize, TOOLKIT, inputs)
    model = models.make(source, each.preparation, TOOLKIT, folder / f"{case.name}.model")
    job = running.job(settings, each, staged, model)._replace(memory_bytes=0)
    jobs.place(folder / case.name, job, inputs, model.folder)


def outcome(directory: Path) -> Outcome:
    """What a finished job directory holds."""
    result: Result = contract.read_result(str(directory / "result.json"))
    if result.artifact is None:
        return Outcome((result.fault or {})["code"], "", [], [])
    outputs = [numpy.load(directory / "out" / name) for name in result.simulated]
    return Outcome("", result.artifact.canonical_digest or "", outputs, result.retries)


def compare(case: Case, reference: Outcome, declared: Outcome, slim: Outcome) -> Row:
    """Judge one conversion in the three environments."""
    rules = {rule for retry in reference.retries for rule in retry["config"]["disable_rules"]}
    return Row(case, rules, verdict(reference, declared), verdict(reference, slim))


def summary(rows: Sequence[Row]) -> list[str]:
    """The cells of one model: how many conversions there are, and how many ended how."""
    rules = set[str]().union(*(row.rules for row in rows))
    counts = [Counter(row.declared for row in rows), Counter(row.slim for row in rows)]
    cells = [", ".join(f"{count} {name}" for name, count in each.items()) for each in counts]
    return [str(len(rows)), str(len(rules)), *cells]


def verdict(reference: Outcome, other: Outcome) -> str:
    """Refused for want of PyTorch; the same in some way; or different."""
    if other.fault == "torch-needed":
        return "refused"
    if other.fault or reference.fault:
        return "same fault" if other.fault == reference.fault else f"different ({other.fault or 'converts'})"
    if other.digest == reference.digest and reference.digest:
        return "same digest"
    pairs = itertools.zip_longest(reference.outputs, other.outputs)
    if reference.outputs and all(numpy.array_equal(first, second) for first, second in pairs):
        return "same outputs"
    return "different"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
