"""Darknet networks to test with: numbers for a .cfg that keep its values alive, and what others make of both.

Darknet's own library and OpenCV's reader are the judges; neither shares code with the bridge.
"""

import ctypes
import os
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from host.sources.darknet.cfg import Network, read
from host.sources.darknet.layers import Grid, Region, Shortcut, Yolo

Array = NDArray[np.float32]

ORIGINAL, FORK = (0, 2, 0), (0, 2, 5)
"""Versions of .weights files: what batch normalization divides by depends on them."""
_ADDED = 0.3
"""Of a layer whose values a shortcut adds: a hundred such sums do not explode."""
_DECODED = {"xy": (2, 1.5, 0.0), "wh": (2, 0.5, 0.0), "objectness": (1, 3.0, -3.0), "class": (0, 2.0, -2.0)}
"""What a detector's last convolution gives: channels of the role (0: as many as classes), spread, and mean.

As training leaves it: few objects, steep scores, sizes near their anchors.
"""


def write_weights(path: Path, network: Network, seed: int = 0, version: Sequence[int] = ORIGINAL) -> None:
    """Random numbers of a variance that neither dies nor explodes from layer to layer."""
    random = np.random.default_rng(seed)
    added = {layer.reads[0] for layer in network.layers if isinstance(layer, Shortcut)}
    grids = {grid.reads[0]: grid for grid in network.grids}
    with path.open("wb") as file:
        file.write(struct.pack("<3iq", *version, 0))
        for layer in network.layers:
            for name, shape in layer.weights.items():
                values = _values(random, name, shape, _ADDED if layer.number in added else 1.4)
                if layer.number in grids:
                    values = _of_head(values, grids[layer.number])
                file.write(values.astype("<f4").tobytes())


def _values(
    random: np.random.Generator, name: str, shape: tuple[int, ...], gain: float
) -> NDArray[np.float64]:
    if name == "weights":
        return random.normal(0, gain / np.sqrt(prod(shape[1:])), shape)
    if name in ("scales", "variances"):
        return random.uniform(0.7, 1.3, shape)
    return random.normal(0, 0.1, shape)


def _of_head(values: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """The weights or biases of the convolution before a grid."""
    roles = [(count or grid.classes, spread, mean) for count, spread, mean in _DECODED.values()]
    channels = np.concatenate([np.tile([[spread, mean]], (count, 1)) for count, spread, mean in roles])
    spreads, means = np.tile(channels, (len(grid.anchors), 1)).T
    changed: NDArray[np.float64] = (
        values + means if values.ndim == 1 else values * spreads[:, None, None, None]
    )
    return changed


def image(network: Network, seed: int = 0) -> Array:
    """Noise in 0..1: [1, channels, height, width]."""
    return np.random.default_rng(seed).random((1, *network.input), np.float32)


def of_opencv(cfg: Path, weights: Path, values: Array) -> Array:
    """What OpenCV makes of a network, laid out as the bridge does.

    A detector's rows are boxes as shares of the input, objectness, and classes multiplied by it. Of [region]
    OpenCV puts zero for the classes of boxes that overlap better ones: those are not a number here.

    Raises:
        cv2.error: it cannot read or run the network.
    """
    network = read(cfg)
    with tempfile.TemporaryDirectory() as folder:
        every = Path(folder, cfg.name)
        every.write_text(_showing_all(cfg.read_text(encoding="utf-8")), encoding="utf-8")
        net = cv2.dnn.readNetFromDarknet(str(every), str(weights))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.enableFusion(False)  # what it fuses is not always what it read
    net.setInput(values)
    names = net.getUnconnectedOutLayersNames()
    outputs = dict(zip(names, net.forward(names), strict=True))
    if not network.grids:
        return np.asarray([*outputs.values()][-1], np.float32)
    if len(network.grids) == 1:
        outputs[network.grids[0].name] = next(iter(outputs.values()))  # [region] has another name there
    rows = []
    for grid in network.grids:
        by_cell = outputs[grid.name].reshape(-1, len(grid.anchors), 5 + grid.classes)
        rows.append(by_cell.transpose(1, 0, 2).reshape(-1, 5 + grid.classes).astype(np.float32))
    table: Array = np.concatenate(rows)
    if isinstance(network.grids[0], Region):
        table[:, 5:][table[:, 5:] == 0] = np.nan
    return table


def _showing_all(text: str) -> str:
    """A .cfg whose detector shows classes of any score: OpenCV puts zero up to `thresh`."""
    text = re.sub(r"(?m)^\s*thresh\s*=.*$", "", text)
    return re.sub(r"(?m)^(\[(yolo|region)\])", r"\1\nthresh=0", text)


def of_bridge(output: Array, network: Network) -> Array:
    """The bridge's output in the same layout."""
    if not network.grids:
        return output
    table: Array = output[0].T.copy()
    table[:, :4] /= np.tile(network.input[:0:-1], 2)
    table[:, 5:] *= table[:, 4:5]
    return table


def apart(expected: Array, found: Array) -> float:
    """The largest difference as a share of the value, or of 1; where all are smaller, of the largest."""
    expected = expected.reshape(found.shape)
    if not np.isfinite(found).all():
        return np.inf
    sizes = np.abs(expected)
    gaps = np.abs(expected - found) / np.maximum(sizes, min(1, float(np.nanmax(sizes))))
    return float(np.nanmax(gaps))


class Darknet:
    """Darknet's own library: Debian's package `darknet` has the original, and its fork builds one too."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library), mode=os.RTLD_LAZY)
        self.fork = hasattr(self._library, "network_predict_ptr")
        """Whether this is AlexeyAB's."""
        self._predict = self._library["network_predict_ptr" if self.fork else "network_predict"]
        self._library.load_network.restype = ctypes.c_void_p
        self._predict.restype = ctypes.POINTER(ctypes.c_float)
        self._detection = _ForksDetection if self.fork else _Detection
        self._library.get_network_boxes.restype = ctypes.POINTER(self._detection)

    def run(self, cfg: Path, weights: Path, values: Array) -> Array:
        """What it makes of a network, laid out as the bridge does. It frees nothing: once a process."""
        network = read(cfg)
        net = ctypes.c_void_p(self._library.load_network(str(cfg).encode(), str(weights).encode(), 0))
        flat = np.ascontiguousarray(values, np.float32)
        result = self._predict(net, flat.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        if not network.grids:
            count = prod(network.last.outer)
            output = np.ctypeslib.as_array(result, (count,)).copy()
        else:
            output = self._table(net, network)
        return output

    def _table(self, net: ctypes.c_void_p, network: Network) -> Array:
        count = ctypes.c_int()
        height, width = network.input[1:]
        boxes = self._library.get_network_boxes(
            *(net, width, height, ctypes.c_float(-1), ctypes.c_float(0.5), None, 1, ctypes.byref(count), 0)
        )
        rows = [
            [*each.bbox, each.objectness, *each.prob[: network.grids[0].classes]]
            for each in boxes[: count.value]
        ]
        table = np.asarray(rows, np.float32)
        return np.concatenate([*_by_anchor(table, network)])


class _Detection(ctypes.Structure):
    """darknet.h: detection."""

    _fields_ = (
        ("bbox", ctypes.c_float * 4),
        ("classes", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    )


class _ForksDetection(ctypes.Structure):
    """The same of the fork."""

    _fields_ = (
        ("bbox", ctypes.c_float * 4),
        ("classes", ctypes.c_int),
        ("best_class", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
        ("uncertainty", ctypes.POINTER(ctypes.c_float)),
        ("points", ctypes.c_int),
        ("embeddings", ctypes.POINTER(ctypes.c_float)),
        ("embedding_size", ctypes.c_int),
        ("likeness", ctypes.c_float),
        ("track", ctypes.c_int),
    )


def _by_anchor(table: Array, network: Network) -> Sequence[Array]:
    """Rows anchor by anchor; those of [yolo] come cell by cell."""
    pieces, start = [], 0
    for grid in network.grids:
        count = len(grid.anchors) * grid.inner[1] * grid.inner[2]
        piece = table[start : start + count]
        if isinstance(grid, Yolo):
            piece = piece.reshape(-1, len(grid.anchors), table.shape[1]).transpose(1, 0, 2).reshape(count, -1)
        pieces.append(piece)
        start += count
    return pieces


def of_batch_one(cfg: Path, copy: Path) -> Path:
    """A copy of a .cfg for one image at a time: Darknet would make room for a batch."""
    alone: Mapping[str, str] = {"batch": "1", "subdivisions": "1"}
    lines = []
    for line in cfg.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0].strip()
        lines.append(f"{key}={alone[key]}" if key in alone else line)
    copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return copy
