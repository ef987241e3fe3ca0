"""What will be done, as data: one Plan per chip, made from the settings alone, printed by --dry-run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host import routes
from host.results import record
from host.routes import Route
from host.settings import Settings
from host.sources.source import Source
from shared import chips
from shared.faults import Fault

HYBRID_FORMATS = 2
"""How many number formats the vendor's documentation allows in one model."""
Choice = Callable[[Sequence[str]], str]
"""Which of several Python versions an engine prefers."""
COMPANIONS = (record.NAME, "report.json", "log.txt", "failed.log.txt")
"""The files beside an artefact, in the order of Target's fields."""


@dataclass(frozen=True)
class Environment:
    """One of the pinned environments that a toolkit runs in."""

    toolkit: str
    version: str
    python: str
    variant: str

    @property
    def tag(self) -> str:
        """Names the environment among its toolkit's: 2.5.0-py311, or 2.5.0-py311-slim."""
        default = chips.default_variant(chips.kit(self.toolkit))
        suffix = "" if self.variant == default else f"-{self.variant}"
        return f"{self.version}-py{self.python.replace('.', '')}{suffix}"

    @property
    def image(self) -> str:
        """The Docker image: rkforge/toolkit2:2.5.0-py311."""
        return f"rkforge/{self.toolkit}:{self.tag}"


@dataclass(frozen=True)
class Target:
    """Where a conversion's files go."""

    artifact: Path
    record: Path
    report: Path
    log: Path
    failed_log: Path
    """The log of a failed run: the files of an earlier good one stay as they are."""

    def document(self, name: str) -> Path:
        """Where a further file that the toolkit made goes: beside the others, named as they are."""
        return self.record.with_name(self.record.name.removesuffix(COMPANIONS[0]) + name)


@dataclass(frozen=True)
class Preparation:
    """What a graph is prepared for: plans that share it share the prepared model."""

    head: str
    quantize: bool
    activation_bits: int | None
    quirks: tuple[str, ...]
    longest_row: int


@dataclass(frozen=True)
class Plan:
    """One conversion: this model for this chip, in this environment, into these files."""

    chip: str
    dtype: str
    preparation: Preparation
    environment: Environment
    route: Route
    """How the model gets to the toolkit."""
    others: tuple[Route, ...]
    """Other ways, for when the toolkit cannot take it on this one."""
    config: dict[str, Any]
    """The toolkit's `config`, without what depends on the model's inputs (mean and std)."""
    hybrid: Mapping[str, str] | None
    """Layer -> number format; empty for what the toolkit proposes, None for one format for all."""
    analysis: bool
    estimate: bool
    """Whether the host estimates the outputs: the toolkit cannot run what it built, and ONNX Runtime can."""
    target: Target
    notes: tuple[str, ...]

    @property
    def quantize(self) -> bool:
        """Whether the job calibrates."""
        return self.preparation.quantize

    @property
    def name(self) -> str:
        """What the screen calls it: rk3588-int8."""
        return f"{self.chip}-{self.dtype}"

    def to_json(self) -> dict[str, Any]:
        """The plan as --dry-run prints it."""
        target = {name: str(path) for name, path in asdict(self.target).items()}
        environment = {**asdict(self.environment), "image": self.environment.image}
        computed = {"quantize": self.quantize, "target": target, "environment": environment}
        return {**asdict(self), **computed, "notes": list(self.notes)}


def make(settings: Settings, source: Source, default_python: Choice) -> list[Plan]:
    """The plans for a request, one per chip, in the order given.

    Args:
        settings: validated by `config.resolve`.
        source: the model's files.
        default_python: the Python an engine prefers of several when none was asked for.

    Raises:
        Fault: model-format where there is no way from the model's format to a chip.
    """
    return [_plan(settings, source, chips.chip(name), default_python) for name in settings.chips]


def along(each: Plan, route: Route, why: str, default_python: Choice) -> Plan:
    """The plan on another of its routes, and why it is not the first one."""
    toolkit, known = chips.toolkit(each.environment.toolkit), each.environment
    others = tuple(other for other in each.others if other != route)
    environment = environment_of(toolkit, default_python, known.version, known.python, route.variant)
    return replace(each, route=route, others=others, environment=environment, notes=(*each.notes, why))


def preparation(chip: chips.Chip, dtype: chips.Dtype, head: str) -> Preparation:
    """How a graph is prepared for a chip and dtype."""
    return Preparation(head, dtype.quantize, dtype.activation_bits, tuple(chip.quirks), chip.longest_row)


def environment_of(
    kit: chips.Kit, default_python: Choice, version: str = "", python: str = "", variant: str = ""
) -> Environment:
    """An environment of a toolkit or exporter; what is left empty is the default."""
    variant = variant or chips.default_variant(kit)
    return Environment(
        toolkit=kit.name,
        version=version or kit.versions[0],
        python=python or default_python(chips.pythons(kit, variant)),
        variant=variant,
    )


def exporter(route: Route, default_python: Choice) -> Environment:
    """The environment of a route's exporter."""
    return environment_of(chips.kit(route.exporter), default_python, variant=route.exporter_variant)


def _plan(settings: Settings, source: Source, chip: chips.Chip, default_python: Choice) -> Plan:
    toolkit = chip.toolkit
    dtype, notes = _dtype(settings, chip)
    config = {
        "target_platform": chip.name,
        **dtype.config,
        **({"quantized_algorithm": settings.algorithm} if dtype.quantize else {}),
        **settings.config,
    }
    version = chips.version(chip, settings.toolkit_version)
    route, *others = routes.find(source.format, toolkit, settings.variant, settings.darknet)
    environment = environment_of(toolkit, default_python, version, settings.python, route.variant)
    return Plan(
        chip=chip.name,
        dtype=dtype.name,
        preparation=preparation(chip, dtype, settings.head),
        environment=environment,
        route=route,
        others=tuple(others),
        config=config,
        hybrid=_hybrid(settings, chip, dtype),
        analysis=_analysis(settings, chip, dtype),
        estimate=dtype.estimate and not toolkit.simulator and settings.hybrid is None,
        target=_target(settings, f"{chip.name}-{dtype.name}", toolkit.artifact),
        notes=(*notes, *filter(None, [chip.note])),
    )


def _dtype(settings: Settings, chip: chips.Chip) -> tuple[chips.Dtype, tuple[str, ...]]:
    forced = settings.config.get("quantized_dtype")
    if forced is not None:
        for name in chip.offered:
            known = chip.toolkit.dtypes[name]
            if forced in (known.config.get("quantized_dtype"), *known.aliases):
                if settings.dtype and chips.dtype(chip, settings.dtype) != known:
                    raise Fault(
                        "bad-option",
                        f"--dtype {settings.dtype} and --set quantized_dtype={forced} name two dtypes",
                        "Leave one of them out.",
                    )
                return known, ()
        return chips.Dtype(str(forced), True, None, {}, ()), (
            f"dtype {forced} was forced with --set: it is not verified",
        )
    if settings.dtype:
        return chips.dtype(chip, settings.dtype), ()
    wanted = "int8" if settings.dataset else "fp16"
    if wanted in chip.offered:
        return chips.dtype(chip, wanted), ()
    return chips.dtype(chip, chip.offered[0]), (
        f"{chip.name} cannot use {wanted} ({chip.dtypes[wanted]}): converting to {chip.offered[0]}",
    )


def _hybrid(settings: Settings, chip: chips.Chip, dtype: chips.Dtype) -> Mapping[str, str] | None:
    """The layers with a format of their own, if they go with the dtype."""
    if settings.hybrid is None:
        return None
    if not dtype.quantize:
        raise _not_quantized("--hybrid", "no layer can differ", chip, dtype)
    formats = sorted({*settings.hybrid.values(), str(dtype.config.get("quantized_dtype", dtype.name))})
    if len(formats) > HYBRID_FORMATS:
        raise Fault(
            "bad-option",
            f"--hybrid: a model can have {HYBRID_FORMATS} number formats, this would be {', '.join(formats)}",
            "Give all layers of --hybrid the same format; all others have that of --dtype.",
        )
    return settings.hybrid


def _analysis(settings: Settings, chip: chips.Chip, dtype: chips.Dtype) -> bool:
    """Whether the toolkit analyses the errors of layers, if they have any."""
    if settings.analysis and not dtype.quantize:
        raise _not_quantized("--analysis", "no layer differs from the float model's", chip, dtype)
    return settings.analysis


def _not_quantized(flag: str, so_that: str, chip: chips.Chip, dtype: chips.Dtype) -> Fault:
    works = [name for name in chip.offered if chip.toolkit.dtypes[name].quantize]
    return Fault(
        "bad-option",
        f"{flag}: {dtype.name} is not quantized, so that {so_that}",
        f"Use --dtype {' or '.join(works)}, unless the model is quantized already."
        if works
        else f"Leave {flag} out.",
    )


def _target(settings: Settings, name: str, artifact: str) -> Target:
    output = settings.output
    if output is not None and output.suffix == ".rknn":
        return Target(output, *(output.with_name(f"{output.stem}.{file}") for file in COMPANIONS))
    if output is None:
        folder = Path("out") / settings.model.stem / name
    else:
        folder = output if len(settings.chips) == 1 else output / name
    return Target(folder / artifact, *(folder / file for file in COMPANIONS))
