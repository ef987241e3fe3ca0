"""Turns a model's outputs into boxes, scores and what else they hold: the reference for every head.

numpy only. Copied together with contract.py beside a deployed model, it runs as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.decoding.contract import Decode, Output

Array = NDArray[np.float32]

POINTS = {"corner+2t": (2.0, 0.0), "centre+t": (1.0, 0.5)}
"""Coding of keypoints -> factor of the value, offset from the cell's corner."""


@dataclass(frozen=True)
class Detections:
    """All candidates of one image, before overlapping ones are removed."""

    boxes: Array
    """[N, 4], x1 y1 x2 y2 in pixels of the input; of oriented boxes, before they turn around their centre."""
    scores: Array
    """[N, classes], in 0..1."""
    keypoints: Array | None = None
    """[N, keypoints, 2 or 3], x y in pixels and visibility in 0..1."""
    angles: Array | None = None
    """[N], radians."""
    masks: Array | None = None
    """[N, M], coefficients of the prototypes."""
    prototypes: Array | None = None
    """[M, height, width]."""


@dataclass(frozen=True)
class _Grid:
    """For every candidate: its cell, stride and anchor, and the reach of its centre."""

    cell: Array
    stride: Array
    anchor: Array
    reach: Array


def decode(outputs: Mapping[str, Array] | Sequence[Array], how: Decode) -> Detections:
    """Decode the outputs of one image (batch 1), floats, by name or in the model's order.

    Raises:
        ValueError: the meaning of the outputs is not known.
    """
    if not how.known:
        raise ValueError("these outputs have no known meaning")
    arrays = outputs if isinstance(outputs, Mapping) else dict(zip(_names(how), outputs, strict=True))
    values, codings, prototypes = _collect(arrays, how)
    grid = _grid(how)
    angles = _angles(values["angle"], codings["angle"]) if "angle" in values else None
    scores = _scores(values, codings, how.classes)
    boxes = values.get("box")
    return Detections(
        boxes=np.zeros((len(scores), 4), np.float32)
        if boxes is None
        else _BOXES[codings["box"]](boxes, grid, how, angles),
        scores=scores,
        keypoints=_keypoints(values, codings, grid, how),
        angles=angles,
        masks=values.get("mask"),
        prototypes=prototypes,
    )


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    result: Array = 0.5 * (1 + np.tanh(0.5 * values))
    return result


def softmax(values: Array, axis: int) -> Array:
    """Shares that sum to 1 along an axis."""
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    result: Array = powers / powers.sum(axis=axis, keepdims=True)
    return result


def _names(how: Decode) -> list[str]:
    return [output.name for output in how.outputs]


def _collect(
    arrays: Mapping[str, Array], how: Decode
) -> tuple[dict[str, Array], dict[str, str], Array | None]:
    """The values of each role, [N, channels], strides in order; their codings; the prototypes."""
    pieces: dict[str, dict[int, Array]] = {}
    codings: dict[str, str] = {}
    prototypes = None
    for output in how.outputs:
        array = np.asarray(arrays[output.name], np.float32)
        if output.role == "prototypes":
            prototypes = array.reshape(array.shape[-3:])
            continue
        rows, start = _rows(array, output, how), 0
        for part in output.parts:
            pieces.setdefault(part.role, {})[output.stride] = rows[:, start : start + part.channels]
            codings[part.role] = part.coding
            start += part.channels
    values = {
        role: np.concatenate([by_stride[stride] for stride in sorted(by_stride, key=_order(how))])
        for role, by_stride in pieces.items()
    }
    return values, codings, prototypes


def _order(how: Decode) -> Callable[[int], int]:
    return lambda stride: how.strides.index(stride) if stride else 0


def _rows(array: Array, output: Output, how: Decode) -> Array:
    """An output as [candidates, channels]; with anchors, all cells of the first anchor come first."""
    channels = sum(part.channels for part in output.parts)
    if output.channels_last:
        return array.reshape(-1, channels)
    width, height = (
        how.cells[how.strides.index(output.stride)] if output.stride else (array.size // channels, 1)
    )
    return array.reshape(-1, channels, width * height).transpose(0, 2, 1).reshape(-1, channels)


def _grid(how: Decode) -> _Grid:
    cells, strides, anchors, reach = ([np.zeros((0, width))] for width in (2, 1, 2, 1))
    for number, (stride, (width, height)) in enumerate(zip(how.strides, how.cells, strict=True)):
        sizes = how.anchors[number] if how.anchors else ((0.0, 0.0),)
        y, x = np.divmod(np.arange(width * height), width)
        cells.append(np.tile(np.stack([x, y], 1), (len(sizes), 1)))
        strides.append(np.full((width * height * len(sizes), 1), stride))
        reach.append(np.full_like(strides[-1], how.reach[number] if how.reach else 1, float))
        anchors.append(np.repeat(sizes, width * height, axis=0))
    return _Grid(*(np.concatenate(each).astype(np.float32) for each in (cells, strides, anchors, reach)))


def _scores(values: Mapping[str, Array], codings: Mapping[str, str], classes: int) -> Array:
    """Class scores; of finished detections, the one score in its class's column."""
    if "label" in values:
        scores = np.zeros((len(values["label"]), classes), np.float32)
        labels = values["label"][:, 0].round().clip(0, classes - 1).astype(int)
        scores[np.arange(len(scores)), labels] = values["score"][:, 0]
        return scores
    scores = _probability(values["class"], codings["class"])
    if "objectness" in values:
        scores = scores * _probability(values["objectness"], codings["objectness"])
    return scores


def _probability(values: Array, coding: str) -> Array:
    if coding == "softmax":
        return softmax(values, axis=1)
    return sigmoid(values) if coding == "logit" else values


def _angles(values: Array, coding: str) -> Array:
    if coding == "radians":
        return values[:, 0]
    result: Array = (_probability(values[:, 0], coding) - np.float32(0.25)) * np.float32(np.pi)
    return result


def _keypoints(
    values: Mapping[str, Array], codings: Mapping[str, str], grid: _Grid, how: Decode
) -> Array | None:
    if "points" in values:
        parts = [_pixels(values["points"].reshape(-1, how.keypoints[0], 2), how)]
        if "visibility" in values:
            parts.append(values["visibility"][:, :, None])
        return np.concatenate(parts, axis=2)
    if "keypoints" not in values:
        return None
    coding, points = codings["keypoints"], values["keypoints"].reshape(-1, *how.keypoints)
    xy, visibility = points[:, :, :2], points[:, :, 2:]
    if coding == "xy":
        return np.concatenate([_pixels(xy, how), visibility], axis=2)
    factor, offset = POINTS[coding]
    xy = (xy * factor + grid.cell[:, None] + offset) * grid.stride[:, None]
    return np.concatenate([xy, sigmoid(visibility)], axis=2).astype(np.float32)


def _pixels(values: Array, how: Decode) -> Array:
    """x, y pairs along the last axis, as pixels."""
    if not how.normalised:
        return values
    result: Array = values * np.resize(np.asarray(how.input_size, np.float32), values.shape[-1])
    return result


_Angles = Array | None


def _xyxy(values: Array, _grid: _Grid, how: Decode, _angles: _Angles) -> Array:
    return _pixels(values, how)


def _xywh(values: Array, _grid: _Grid, how: Decode, _angles: _Angles) -> Array:
    values = _pixels(values, how)
    return _corners(values[:, :2], values[:, 2:])


def _bins(values: Array, grid: _Grid, how: Decode, angles: _Angles) -> Array:
    shares = softmax(values.reshape(-1, 4, how.reg_max), axis=2)
    expected: Array = (shares * np.arange(how.reg_max, dtype=np.float32)).sum(axis=2)
    return _distances(expected, grid, how, angles)


def _distances(values: Array, grid: _Grid, _how: Decode, angles: _Angles) -> Array:
    near, far = values[:, :2], values[:, 2:]
    shift = (far - near) / 2
    if angles is not None:
        cos, sin = np.cos(angles), np.sin(angles)
        x, y = shift.T
        shift = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
    return _corners((grid.cell + 0.5 + shift) * grid.stride, (near + far) * grid.stride)


def _anchors(values: Array, grid: _Grid, _how: Decode, _angles: _Angles) -> Array:
    return _corners(
        (values[:, :2] * 2 - 0.5 + grid.cell) * grid.stride, (values[:, 2:] * 2) ** 2 * grid.anchor
    )


def _anchor_logits(values: Array, grid: _Grid, how: Decode, angles: _Angles) -> Array:
    return _anchors(sigmoid(values), grid, how, angles)


def _anchor_exponents(values: Array, grid: _Grid, _how: Decode, _angles: _Angles) -> Array:
    with np.errstate(over="ignore"):
        size = np.exp(values[:, 2:]) * grid.anchor
    within = grid.reach * (sigmoid(values[:, :2]) - 0.5) + 0.5
    return _corners((grid.cell + within) * grid.stride, size)


def _exponents(values: Array, grid: _Grid, _how: Decode, _angles: _Angles) -> Array:
    with np.errstate(over="ignore"):
        size = np.exp(values[:, 2:]) * grid.stride
    return _corners((values[:, :2] + grid.cell) * grid.stride, size)


def _corners(centre: NDArray[Any], size: NDArray[Any]) -> Array:
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)


_BOXES: dict[str, Callable[[Array, _Grid, Decode, _Angles], Array]] = {
    "anchor-exponents": _anchor_exponents,
    "anchor-logits": _anchor_logits,
    "anchors": _anchors,
    "bins": _bins,
    "distances": _distances,
    "exponents": _exponents,
    "xywh": _xywh,
    "xyxy": _xyxy,
}
