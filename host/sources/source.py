"""A model as the user brought it, before any of its format is understood; and what its format tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """The files that make up one model."""

    format: str
    """A key of the table's formats."""
    files: Mapping[str, Path]
    """Role -> file; roles as in `shared.contract.Source`, and "folder" for a SavedModel. In an archive: the
    member's path inside."""
    archive: Path | None = None
    """The zip that holds the files, if they were not unpacked yet."""

    @property
    def main(self) -> Path:
        """The file that the model is called by: its weights where it has two."""
        return self.archive or [*self.files.values()][-1]


@dataclass(frozen=True)
class Port:
    """An input or output as a file tells of it."""

    name: str
    shape: tuple[int | str, ...]
    """In the format's order of axes; a name or "?" where it is open. Empty where the file does not tell."""
    dtype: str
    """numpy's name."""
    channels_last: bool = False
    """Whether an image input has its channels last."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output that nothing is open of: its static shape and numpy dtype name."""

    name: str
    shape: tuple[int, ...]
    """In the format's order of axes, batch included."""
    dtype: str
    channels_last: bool = False
    """Whether an image input has its channels last."""


@dataclass(frozen=True)
class Interface:
    """What a file tells about a model without running it."""

    version: str
    """Of the format, as people say it: "opset 17, IR 8"; empty where there is none."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    """Operator -> how often; custom ones by their own name."""
    parameters: int | None
    """How many numbers the weights are; None where the file does not tell."""
    custom: tuple[str, ...] = ()
    """Which of the operators are no part of the format's own set."""
    quantized: bool = False
    """Whether its framework quantized it: most of what its operators make are integers."""
    parsed: Any = field(default=None, repr=False, compare=False)
    """The graph as the reader parsed it, where somebody looks further into it."""
