"""The numbers of a .weights file: a header, then the layers' arrays without a name or a length between them.

Nothing in the file tells to which .cfg it belongs, and Darknet itself reads a wrong one without a word. Its
length is the only proof.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.sources.darknet.cfg import Network
from shared.faults import Fault

Arrays = tuple[Mapping[str, NDArray[np.float32]], ...]
"""For each layer of the network its numbers by name, none where it has none."""

_NUMBER = 4
_VERSION = struct.Struct("<3i")
_FORKED = 5
_WRONG_WAY_ROUND = 1000
"""Versions above this one have connected layers' weights the other way round."""


@dataclass(frozen=True)
class Header:
    """What a .weights file begins with."""

    major: int
    minor: int
    revision: int

    @property
    def size(self) -> int:
        """In bytes. The count of images seen is a long one since version 0.2."""
        long = self.major * 10 + self.minor >= 2 and max(self.major, self.minor) < _WRONG_WAY_ROUND
        return _VERSION.size + (8 if long else 4)

    @property
    def transposed(self) -> bool:
        """Whether connected layers have their weights as [inputs, outputs]."""
        return max(self.major, self.minor) > _WRONG_WAY_ROUND

    def deviation(self, variances: NDArray[Any]) -> NDArray[np.float64]:
        """What batch normalization divides by: Darknet adds 1e-6 to the root, its fork 1e-5 to the variance.

        A channel that is all but dead shows the difference. The fork, AlexeyAB's, saves as revision 5
        (version.h), the original as 0 (save_weights_upto in parser.c).
        """
        exact = variances.astype(np.float64)
        forked = self.revision >= _FORKED
        return np.asarray(np.sqrt(exact + 1e-5) if forked else np.sqrt(exact) + 1e-6)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}"


def count(network: Network) -> int:
    """How many numbers a network's .weights file holds."""
    return sum(prod(shape) for layer in network.layers for shape in layer.weights.values())


def header(path: Path) -> Header:
    """Read what the file begins with.

    Raises:
        Fault: model-weights when it is too short or no header, file-access.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_VERSION.size)
    except OSError as error:
        raise Fault.from_os_error(error, "file-access", "read", str(path)) from error
    if len(start) < _VERSION.size or min(_VERSION.unpack(start)) < 0:
        raise Fault(
            "model-weights", f"{path} is no Darknet .weights file.", "Give the file as Darknet saved it."
        )
    return Header(*_VERSION.unpack(start))


def check(path: Path, network: Network) -> Header:
    """Whether a .weights file has the length that a network needs; reads its header alone.

    Raises:
        Fault: model-data-missing when it is shorter, model-weights when it is longer or no such file.
    """
    start = header(path)
    bytes_found = path.stat().st_size
    found, expected = (bytes_found - start.size) / _NUMBER, count(network)
    if found == expected:
        return start
    sizes = f"{path} holds {found:,.10g} numbers, {network.path} needs {expected:,}"
    if found > expected:
        raise Fault(
            "model-weights",
            f"{sizes}: they do not belong together.",
            "Give the .cfg that the weights were trained with; classes= and filters= are what often differs.",
        )
    layers = _layers_within(found, network)
    if layers:
        raise Fault(
            "model-data-missing",
            f"{sizes}: the file ends with layer {layers - 1}, it is a backbone to start training from.",
            "Give the .weights that the training of the whole network left.",
        )
    raise Fault(
        "model-data-missing",
        f"{sizes}: the file was cut off, or they do not belong together.",
        "Check that the copy is complete, and that the .cfg is the one that the weights were trained with.",
    )


def read(path: Path, network: Network) -> tuple[Header, Arrays]:
    """Read the numbers; they stay in the file until they are used.

    Raises:
        Fault: as `check`.
    """
    start = check(path, network)
    stored = np.memmap(path, "<f4", "r", start.size) if count(network) else np.zeros(0, np.float32)
    arrays: list[dict[str, NDArray[Any]]] = []
    place = 0
    for layer in network.layers:
        arrays.append({})
        for name, shape in layer.weights.items():
            values = stored[place : place + prod(shape)]
            place += prod(shape)
            turned = name == "weights" and len(shape) == 2 and start.transposed
            arrays[-1][name] = values.reshape(shape[::-1]).T if turned else values.reshape(shape)
    return start, tuple(arrays)


def _layers_within(found: float, network: Network) -> int:
    """How many layers a file's numbers are exactly enough for; 0 where they end within one."""
    total = 0
    for layer in network.weighted:
        total += sum(map(prod, layer.weights.values()))
        if total == found:
            return layer.number + 1
    return 0
