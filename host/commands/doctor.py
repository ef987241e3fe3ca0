"""What this machine has, what a conversion here would use and why, and whether a toolkit works at all."""

import platform
import shutil
import tempfile
import time
from dataclasses import dataclass

from host import config, conversion, engines, paths, plan
from host.console import Screen
from host.engines import local, recipe
from host.plan import Environment, environment_of
from host.settings import Settings
from host.sources.source import Source
from images import wheel
from shared import chips
from shared.faults import Fault

ENOUGH_BYTES = 8 * 10**9
"""A build needs about three times what it leaves: wheels, layers, result."""
SHOWN_BYTES = 16
"""Of the file that a trial makes: enough to tell whether it looks like a model."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, whether it is fine, and what was seen."""

    name: str
    fine: bool
    seen: str


def show(engine_name: str, screen: Screen, as_json: bool) -> int:
    """Print the findings; exit status 4 when no conversion could run here."""
    findings = [_machine(), _docker(), _pythons(), _disk(), *_environments(engine_name)]
    able = findings[-1].fine
    if as_json:
        screen.json({"able": able, "findings": [vars(finding) for finding in findings]})
    else:
        rows = [["ok" if finding.fine else "no", finding.name, finding.seen] for finding in findings]
        screen.table(["", "what", "seen"], rows)
    return 0 if able else 4


def attempt(toolkit_name: str, python: str, engine_name: str, screen: Screen, as_json: bool) -> int:
    """Convert a tiny model for a toolkit's first chip and print what came of it.

    An environment that is missing is built first; `python` may be empty for its default.

    Raises:
        Fault: what stopped it.
    """
    toolkit = chips.toolkit(toolkit_name)
    if problems := config.unknown({"python": (python, chips.pythons(toolkit))}):
        raise config.together(problems)
    engine, why = engines.choose(engine_name)
    screen.say(f"engine {engine.name}: {why}")
    chip = next(chip for chip in chips.chips().values() if chip.toolkit == toolkit)
    folder = paths.cache() / "doctor" / toolkit.name
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.onnx"
    model.write_bytes(_model())
    dtype = next(name for name in chip.offered if toolkit.dtypes[name].quantize)
    settings = Settings(
        (chip.name,), (model,), folder, dtype=dtype, python=python, allow_dead=True, cache=False
    )
    started = time.monotonic()
    source = Source(chips.ONNX, {"model": model})
    plans = plan.make(settings, source, engine.default_python)
    (outcome,) = conversion.convert(settings, source, engine, plans, screen)
    if outcome.facts is None:
        raise outcome.fault or Fault("internal", "the trial ended without a result")
    made = outcome.facts
    first = outcome.plan.target.artifact.read_bytes()[:SHOWN_BYTES]
    letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in first)
    seen = {
        "installed": f"{toolkit.package} {made['environment'].get('packages', {}).get(toolkit.package, '?')}",
        "environment": f"{outcome.plan.environment.image}, {engine.name} engine",
        "converted": f"{outcome.plan.name}, {made['artifact']['size']} bytes",
        "first bytes": f"{first.hex(' ')}  {letters}",
        "checked on": toolkit.checked_on,
        "time": f"{time.monotonic() - started:.1f} s",
        "files": str(folder),
    }
    if as_json:
        screen.json({"able": True, "seen": seen, "warnings": made["warnings"]})
        return 0
    for line in made["warnings"]:
        screen.warn(line)
    screen.table(["what", "seen"], [[name, text] for name, text in seen.items()])
    return 0


def _model() -> bytes:
    """The least network that a toolkit compiles: one convolution of 3 channels and a ReLU, as ONNX."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy.linspace(-1, 1, 8 * 3 * 3 * 3, dtype=numpy.float32).reshape(8, 3, 3, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weights"], ["sums"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["sums"], ["features"]),
        ],
        "trial",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, 8, 32, 32))],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 12)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=7).SerializeToString())


def _machine() -> Finding:
    fits = platform.system() == "Linux" and platform.machine() == "x86_64"
    seen = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Finding("machine", True, seen if fits else f"{seen}: Docker only, images are linux/amd64")


def _docker() -> Finding:
    try:
        from host.engines.docker import DockerEngine

        return Finding("docker", True, f"engine {DockerEngine().version()}")
    except Fault as fault:
        return Finding("docker", False, fault.message)


def _pythons() -> Finding:
    wanted = [version for toolkit in chips.toolkits().values() for version in chips.pythons(toolkit)]
    found = [version for version in dict.fromkeys(wanted) if local.find_python(version)]
    seen = ", ".join(found) or f"none of {', '.join(wanted)}"
    return Finding("python for the local engine", bool(found), seen)


def _disk() -> Finding:
    try:
        paths.cache().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=paths.cache()).close()
    except OSError as error:
        fault = paths.refused(error)
        return Finding("disk", False, f"{fault.message}. {fault.hint}")
    free = shutil.disk_usage(paths.cache()).free
    return Finding("disk", free > ENOUGH_BYTES, f"{free / 1e9:.0f} GB free in {paths.cache()}")


def _environments(engine_name: str) -> list[Finding]:
    """The default environment of each toolkit on the engine that would be used; last, that engine itself."""
    try:
        engine, why = engines.choose(engine_name)
    except Fault as fault:
        if fault.code != "engine-missing":
            raise
        return [Finding("would use", False, fault.message)]
    findings = []
    for toolkit in chips.toolkits().values():
        environment = environment_of(toolkit, engine.default_python)
        try:
            seen = "built" if engine.ready(environment) else _to_be_built(environment)
            fine = True
        except Fault as fault:
            seen, fine = f"{fault.message}. {fault.hint}", False
        except OSError as error:
            seen, fine = paths.refused(error).message, False
        digest = recipe.locks_digest(environment)[:12]
        findings.append(Finding(environment.image, fine, f"{seen}; lock {digest}"))
    return [*findings, Finding("would use", True, f"the {engine.name} engine: {why}")]


def _to_be_built(environment: Environment) -> str:
    folder = recipe.of(environment.toolkit).folder
    wanted = wheel.missing(folder, environment.version, environment.python)
    if wanted is None:
        return "will be built by the first conversion"
    return f"will be built once {wanted.file} is here, from {wanted.archive} or by `{wanted.command}`"
