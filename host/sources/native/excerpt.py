"""What of a model a toolkit's loader shall read: where it begins and ends, and what lies between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from host.sources.source import Port, TensorSpec
from shared.faults import Fault

_MOST_NAMED = 8

Rewrite = Callable[[Sequence[TensorSpec], Path], Mapping[str, Path]]
"""From the inputs with their shapes and a folder to make, to role -> file in it."""


@dataclass(frozen=True)
class Excerpt:
    """A whole model, or a part of one."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    """Operator -> how often, between inputs and outputs."""
    places: Mapping[str, str]
    """Operator -> where one of it is, for messages; empty where the format does not tell."""
    cure: str = ""
    """What to do about operators that the toolkit cannot take; empty for the general advice."""
    notes: tuple[str, ...] = ()
    rewrite: Rewrite | None = None
    """Writes the files anew; None where the user's own will do."""


def require(flag: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names that the model does not have. Raises Fault bad-option, with what was probably meant."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5) or [*dict.fromkeys(known)][-_MOST_NAMED:]
            raise Fault(
                "bad-option",
                f"{flag}: the model has no {name!r}",
                f"Near it, or near its end: {', '.join(near)}.",
            )
