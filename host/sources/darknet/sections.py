"""The text of a .cfg: sections of options, every value with the line that it stands on.

A cfg is written by hand and edited for every data set, so what is wrong is told with its line.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.faults import Fault

MOST = 1 << 20
"""What a whole number of a cfg may be at most; sizes are bounded by more than that where they are used."""
_LARGEST_FILE = 4 << 20
_WHOLE = re.compile(r"[+-]?\d{1,9}")


@dataclass(frozen=True)
class Option:
    """A value as it stands in the file."""

    value: str
    line: int


@dataclass(frozen=True)
class Section:
    """One [section] and its options; where an option is given twice, the first counts, as in Darknet."""

    name: str
    line: int
    options: Mapping[str, Option]
    path: Path

    def text(self, key: str, default: str = "") -> str:
        """An option's text."""
        return self.options[key].value if key in self.options else default

    def whole(self, key: str, default: int, low: int = 0, high: int = MOST) -> int:
        """An option's whole number.

        Raises:
            Fault: model-invalid when it is none, or outside low..high.
        """
        if key not in self.options:
            return default
        return self._whole(key, self.text(key), low, high)

    def number(self, key: str, default: float) -> float:
        """An option's number.

        Raises:
            Fault: model-invalid when it is none, or not finite.
        """
        return self._number(key, self.text(key)) if key in self.options else default

    def wholes(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """An option's whole numbers between commas; none without the option.

        Raises:
            Fault: model-invalid.
        """
        return tuple(self._whole(key, each, low, high) for each in self._each(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        """An option's numbers between commas; none without the option.

        Raises:
            Fault: model-invalid.
        """
        return tuple(self._number(key, each) for each in self._each(key))

    def wrong(self, what: str, key: str = "", code: str = "model-invalid", hint: str = "") -> Fault:
        """The fault for this section, or for one of its options."""
        line = self.options[key].line if key in self.options else self.line
        return Fault(code, f"{self.path}, line {line}, [{self.name}]: {what}.", hint or "Correct the .cfg.")

    def _each(self, key: str) -> Sequence[str]:
        return [each for each in self.text(key).split(",") if each]

    def _whole(self, key: str, text: str, low: int, high: int) -> int:
        number = int(text) if _WHOLE.fullmatch(text) else None
        if number is None or not low <= number <= high:
            raise self.wrong(f"{key}={text[:40]} is no whole number from {low} to {high}", key)
        return number

    def _number(self, key: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(f"{key}={text[:40]} is no number", key)
        return number


def parse(path: Path) -> list[Section]:
    """The sections of a .cfg in their order. Spaces count nowhere, comments begin with # or ;.

    Raises:
        Fault: model-invalid for what is no such text, file-access.
    """
    found: list[tuple[str, int, dict[str, Option]]] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        bare = "".join(re.split("[#;]", line, maxsplit=1)[0].split())
        if not bare:
            continue
        if bare.startswith("["):
            if not re.fullmatch(r"\[[^\[\]=]+\]", bare):
                raise _wrong(path, number, f"{bare[:40]!r} is no [section]")
            found.append((bare[1:-1], number, {}))
            continue
        key, equals, value = bare.partition("=")
        if not (key and equals):
            raise _wrong(path, number, f"{bare[:40]!r} is neither a [section] nor an option=value")
        if not found:
            raise _wrong(path, number, f"{key[:40]!r} stands before the first [section]")
        found[-1][2].setdefault(key, Option(value, number))
    return [Section(name, line, options, path) for name, line, options in found]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise Fault.from_os_error(error, "file-access", "read", str(path)) from error
    if len(content) > _LARGEST_FILE or b"\0" in content:
        raise Fault("model-invalid", f"{path} is no Darknet .cfg: it is no text of a network's size.")
    return content.decode("utf-8-sig", "replace")


def _wrong(path: Path, line: int, what: str) -> Fault:
    return Fault("model-invalid", f"{path}, line {line}: {what}.", "Correct the .cfg.")
