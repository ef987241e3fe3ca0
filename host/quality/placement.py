"""Judges where a compiled model's operators run: what left the NPU, at what cost, what the board cannot run.

The compiler puts on the CPU what the NPU cannot do, and calls that a success. Small chips have a runtime with
few operators for the CPU, or none: the file builds, passes the simulator, and fails when a board loads it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from shared.contract import Operator, Placement, to_json

HOST = "CPU"
FLOAT = "FLOAT16"
OTHERWISE = (
    "cut the graph before it (--head branches does for known detectors) and compute it in your program"
)


@dataclass(frozen=True)
class Finding:
    """All operators of one kind that are not where they should be.

    `share` is their part of what the whole model reads and writes in memory, 0..1: the compiler estimates no
    cycles for what leaves the NPU. `reason` is what it said, mostly nothing; `advice` is what is known to
    keep them on the NPU. `runs` tells whether the board can run them where they are. `made_of` are those of
    the model that the compiler made them of, where these are others.
    """

    op: str
    names: tuple[str, ...]
    share: float
    reason: str = ""
    advice: str = ""
    runs: bool = True
    made_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What is to be said of a placement."""

    placement: Placement
    fallbacks: tuple[Finding, ...]
    """On the CPU."""
    floats: tuple[Finding, ...]
    """On the NPU in floats, although the model is quantised."""

    @property
    def missing(self) -> tuple[Finding, ...]:
        """What the board's runtime does not have."""
        return tuple(each for each in self.fallbacks if not each.runs)

    def to_json(self) -> dict[str, Any]:
        """The judgement with the whole table, for the report."""
        targets = [each.target for each in self.placement.operators]
        return {
            "verdict": "missing" if self.missing else "ok",
            "explanation": explain(self.missing),
            "advice": "; ".join(f"{each.op}: {each.advice or OTHERWISE}" for each in self.missing),
            "targets": {target: targets.count(target) for target in sorted(set(targets), reverse=True)},
            "internal_kb": self.placement.internal_kb,
            "weight_kb": self.placement.weight_kb,
            "fallbacks": [asdict(each) for each in self.fallbacks],
            "floats": [asdict(each) for each in self.floats],
            "operators": to_json(self.placement.operators),
        }


def judge(
    placement: Placement,
    quantized: bool,
    cpu_ops: Collection[str] | None,
    advice: Mapping[str, str],
    origins: Mapping[str, str],
) -> Judgement:
    """Judge what the compiler told.

    Args:
        placement: the compiler's table.
        quantized: whether activations are integers, so that floats are worth a word.
        cpu_ops: what the board's runtime can run on its CPU; None where that is all that it is given.
        advice: operator -> what keeps it on the NPU; no help where it was made of another one.
        origins: names of such operators -> the operators that they were made of.
    """
    total = sum(each.traffic_kb for each in placement.operators) or 1
    fallbacks = tuple(
        Finding(
            op=op,
            names=tuple(row.name for row in rows),
            share=_share(rows, total),
            reason=placement.reasons.get(op, ""),
            advice="" if all(row.name in origins for row in rows) else advice.get(op, ""),
            runs=cpu_ops is None or op in cpu_ops,
            made_of=tuple(sorted({origins[row.name] for row in rows if row.name in origins})),
        )
        for op, rows in _kinds(row for row in placement.operators if row.target == HOST)
    )
    floats = tuple(
        Finding(op, tuple(row.name for row in rows), _share(rows, total))
        for op, rows in _kinds(row for row in placement.operators if row.target != HOST)
        if quantized and rows[0].dtype == FLOAT
    )
    return Judgement(placement, fallbacks, floats)


def _kinds(rows: Iterable[Operator]) -> Iterator[tuple[str, list[Operator]]]:
    """Operators with their rows, apart by number format."""
    key = attrgetter("op", "dtype")
    for (op, _), alike in groupby(sorted(rows, key=key), key=key):
        yield op, list(alike)


def _share(rows: Iterable[Operator], total: int) -> float:
    return round(sum(row.traffic_kb for row in rows) / total, 4)


def explain(missing: Collection[Finding]) -> str:
    """One sentence on what the board cannot run; empty when there is nothing."""
    if not missing:
        return ""
    named = ", ".join(f"{each.op} ({_named(each.names)}{_made_of(each.made_of)})" for each in missing)
    return f"the compiler left to the CPU what this chip's runtime cannot run there: {named}"


def lines(judged: Mapping[str, Any]) -> list[str]:
    """What a person should see of `Judgement.to_json`: a summary, then a line for every kind of fallback."""
    counts = ", ".join(f"{count} on the {target}" for target, count in judged["targets"].items())
    memory = f"{judged['internal_kb']:.0f} kB of working memory, {judged['weight_kb']:.0f} kB of weights"
    told = [f"operators: {counts}; {memory}"]
    for each in judged["fallbacks"]:
        told.append(
            "; ".join(filter(None, [f"on the {HOST}: {_kind(each)}", each["reason"], each["advice"]]))
        )
    if judged["floats"]:
        told.append("in floats: " + ", ".join(map(_kind, judged["floats"])))
    return told


def _kind(finding: Mapping[str, Any]) -> str:
    count = len(finding["names"])
    times = f" x{count}" if count > 1 else ""
    return (
        f"{finding['op']}{times}{_made_of(finding['made_of'])} ({finding['share']:.1%} of the memory traffic)"
    )


def _named(names: Collection[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more" if others else first


def _made_of(kinds: Collection[str]) -> str:
    return f", made of {' and '.join(kinds)}" if kinds else ""
