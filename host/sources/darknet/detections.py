"""What a detector's grids hold, as nodes: boxes, objectness and classes of all grids in one table.

The table is [1, 4 + 1 + classes, candidates], boxes as centre and size in pixels of the input; candidates
are in the order of grids, anchors, rows and columns. Each anchor is decoded in four dimensions, so that no
values need to change places.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from host.sources.darknet.layers import Grid, Region, Shape, Yolo
from host.sources.darknet.writer import Writer

NAME = "output"


def table(
    writer: Writer, grids: Sequence[Grid], tensors: Sequence[str], image: Shape
) -> tuple[str, tuple[int, int, int]]:
    """Decode the values of grids; returns the table's name and shape.

    Args:
        writer: of the graph.
        grids: with the same classes.
        tensors: the values of each, [1, channels, height, width].
        image: the network's input.
    """
    pieces = [
        _anchor(writer, grid, number, tensor, image)
        for grid, tensor in zip(grids, tensors, strict=True)
        for number in range(len(grid.anchors))
    ]
    name = writer.node("Concat", NAME, *pieces, axis=2)
    candidates = sum(len(grid.anchors) * grid.inner[1] * grid.inner[2] for grid in grids)
    return name, (1, 5 + grids[0].classes, candidates)


def _anchor(writer: Writer, grid: Grid, number: int, tensor: str, image: Shape) -> str:
    """One anchor's rows of the table: [1, 4 + 1 + classes, height * width]."""
    name = f"{grid.name}/anchor_{number}"
    width = 5 + grid.classes
    rows, columns = grid.inner[1:]
    stride = np.array([image[2] / columns, image[1] / rows])[None, :, None, None]
    size = np.asarray(grid.anchors[number])[None, :, None, None]

    def part(role: str, start: int, stop: int) -> str:
        return writer.slice(f"{name}/{role}", tensor, 1, number * width + start, number * width + stop)

    xy, wh = part("xy", 0, 2), part("wh", 2, 4)
    reach = 1.0
    if isinstance(grid, Yolo):
        reach = grid.reach
        scores = [part("scores", 4, width)]
    else:
        scores = [part("objectness", 4, 5), part("classes", 5, width)]
    if isinstance(grid, Yolo) and grid.squared:
        wh = writer.node("Mul", f"{wh}/squared", wh, wh)
        size = 4 * size
    else:
        xy = writer.node("Sigmoid", f"{xy}/sigmoid", xy)
        wh = writer.node("Exp", f"{wh}/exp", wh)
        shares = isinstance(grid, Region) and grid.softmax
        *others, classes = scores
        scores = [writer.node("Sigmoid", f"{each}/sigmoid", each) for each in others]
        scores.append(
            _shares(writer, classes) if shares else writer.node("Sigmoid", f"{classes}/sigmoid", classes)
        )
    xy = writer.plus(
        f"{name}/centre",
        writer.times(f"{name}/reach", xy, reach * stride),
        (_cells(rows, columns) - (reach - 1) / 2) * stride,
    )
    wh = writer.times(f"{name}/size", wh, size)
    joined = writer.node("Concat", f"{name}/joined", xy, wh, *scores, axis=1)
    return writer.reshape(name, joined, 1, width, rows * columns)


def _shares(writer: Writer, classes: str) -> str:
    """Shares of one in every cell; before opset 13 a Softmax gives that on the last axis alone."""
    last = writer.node("Transpose", f"{classes}/last", classes, perm=[0, 2, 3, 1])
    shares = writer.node("Softmax", f"{classes}/softmax", last, axis=3)
    return writer.node("Transpose", f"{classes}/shares", shares, perm=[0, 3, 1, 2])


def _cells(rows: int, columns: int) -> NDArray[np.float64]:
    """The column and the row of every cell: [1, 2, rows, columns]."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    return np.stack([x, y])[None]
