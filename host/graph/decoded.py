"""Builds the decoding of a head into the graph, from its last convolutions: boxes, scores, keypoints, angles.

Everything is computed in four dimensions, one stride at a time, from convolutions, products and sums with
constants: what NPUs do well. Exporters' own decoding is not reused: it differs with every version.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.decoding.contract import Decode, Output, Part
from host.decoding.decoder import POINTS
from host.graph.builder import Builder

# from left, top, right, bottom: half the difference (x, y), the same turned by a quarter, and the sum (w, h)
_SHIFT = np.array([[-1, 0, 1, 0], [0, -1, 0, 1]]) / 2
_TURNED = np.array([[0, 1, 0, -1], [-1, 0, 1, 0]]) / 2
_SIZE = np.array([[1, 0, 1, 0], [0, 1, 0, 1]])


class Stride:
    """One stride's branches in a graph that is being built, and their decoded values.

    Tensors are [1, channels, height, width]. With anchors, each channel is there once for every anchor, side
    by side: a reshape to [1, channels, anchors * height * width] needs no transpose. Coordinates are pixels,
    or shares of the input size.
    """

    def __init__(self, builder: Builder, branches: Decode, stride: int, normalised: bool = False) -> None:
        self.stride = stride
        self._builder, self._how = builder, branches
        self._outputs = [output for output in branches.outputs if output.stride == stride]
        place = branches.strides.index(stride)
        self.width, self.height = branches.cells[place]
        self._sizes = np.asarray(branches.anchors[place] if branches.anchors else [(0, 0)])
        self.anchors = len(self._sizes)
        self._reach = branches.reach[place] if branches.reach else 1.0
        self._scale = 1 / np.asarray(branches.input_size if normalised else (1, 1))
        self._unit = stride * self._scale

    def channels(self, roles: Sequence[str], places: Sequence[int] = (), by_anchor: bool = False) -> str:
        """The branch's values of some roles, or some channels of one role.

        Args:
            roles: they lie in one convolution.
            places: of channels within the role; all without them.
            by_anchor: all channels of the first anchor, then of the next, as the convolution has them.
        """
        output = self.holder(roles[0])
        wanted, start = [], 0
        for part in output.parts:
            if part.role in roles:
                wanted += [start + place for place in places or range(part.channels)]
            start += part.channels
        pairs = (
            ((anchor, place) for anchor in range(self.anchors) for place in wanted)
            if by_anchor
            else ((anchor, place) for place in wanted for anchor in range(self.anchors))
        )
        order = [anchor * start + place for anchor, place in pairs]
        if order == list(range(output.shape[1])):
            return output.name
        return self._builder.channels(output.name, order)

    def holder(self, role: str) -> Output:
        """The branch that holds a role."""
        return next(each for each in self._outputs if role in [part.role for part in each.parts])

    def part(self, role: str) -> Part:
        """How the branch holds a role."""
        return next(part for part in self.holder(role).parts if part.role == role)

    def boxes(self) -> str:
        """Centre and size: x, y, w, h."""
        return _BOXES[self.part("box").coding](self)

    def scores(self) -> str:
        """Class scores, the objectness multiplied in."""
        if self.part("class").coding == "softmax":
            logits = self._anchors_below(self.channels(["class"]), self._how.classes)
            scores = self._builder.softmax(logits, axis=1, rank=4)
        else:
            scores = self._anchors_below(self._node("Sigmoid", self.channels(["class"])), self._how.classes)
        if not any(part.role == "objectness" for output in self._outputs for part in output.parts):
            return scores
        objectness = self._node("Sigmoid", self.channels(["objectness"]))
        return self._node("Mul", scores, self._anchors_below(objectness, 1))

    def _anchors_below(self, tensor: str, channels: int) -> str:
        """The same values with the anchors below each other, so that one channel can meet many."""
        if self.anchors == 1:
            return tensor
        return self._node("Reshape", tensor, shape=(1, channels, self.anchors * self.height, self.width))

    def angle(self) -> str:
        """In radians."""
        values = self.channels(["angle"])
        if self.part("angle").coding == "radians":
            return values
        return self._times(self._plus(self._node("Sigmoid", values), -0.25), np.pi)

    def mask(self) -> str:
        """Coefficients of the prototypes."""
        return self.channels(["mask"])

    def keypoints(self) -> str:
        """x, y and, with three numbers each, visibility of every keypoint in turn."""
        count, numbers = self._how.keypoints
        axes = list(range(numbers)) * count
        values = self.channels(["keypoints"])
        points = self._located(values, axes)
        if numbers == 2:
            return points
        return self._node(
            "Add", points, self._times(self._node("Sigmoid", values), [axis == 2 for axis in axes])
        )

    def points(self) -> str:
        """x and y of every keypoint in turn."""
        count, numbers = self._how.keypoints
        places = [number * numbers + axis for number in range(count) for axis in (0, 1)]
        return self._located(self.channels(["keypoints"], places), [0, 1] * count)

    def visibility(self) -> str:
        """Of every keypoint."""
        count, numbers = self._how.keypoints
        return self._node("Sigmoid", self.channels(["keypoints"], range(2, count * numbers, numbers)))

    def from_distances(self) -> str:
        """Boxes whose sides are given by their distances from the cell's centre; an angle turns them."""
        values = self.channels(["box"])
        expected: NDArray[np.floating] = np.eye(4)
        if self._how.reg_max:
            bins = self._how.reg_max
            apart = self._node("Reshape", values, shape=(1, 4, bins, self.width * self.height))
            shares = self._builder.softmax(apart, axis=2, rank=4)
            values = self._node("Reshape", shares, shape=(1, 4 * bins, self.height, self.width))
            expected = np.kron(np.eye(4), np.arange(bins))
        unit = self._unit[:, None]
        centre = (self._cells([0, 1]) + 0.5) * unit[..., None]
        if not any(part.role == "angle" for output in self._outputs for part in output.parts):
            matrix = np.concatenate([_SHIFT * unit, _SIZE * unit]) @ expected
            return self._plus(self._linear(values, matrix), np.concatenate([centre, np.zeros_like(centre)]))
        angle = self.angle()
        along = self._node("Mul", self._linear(values, _SHIFT * unit @ expected), self._node("Cos", angle))
        across = self._node("Mul", self._linear(values, _TURNED * unit @ expected), self._node("Sin", angle))
        size = self._linear(values, _SIZE * unit @ expected)
        return self._node("Concat", self._plus(self._node("Add", along, across), centre), size, axis=1)

    def from_exponents(self) -> str:
        """YOLOX's boxes."""
        centre = self._located(self.channels(["box"], (0, 1)), [0, 1], (1, 0))
        size = self._times(self._node("Exp", self.channels(["box"], (2, 3))), self._unit)
        return self._node("Concat", centre, size, axis=1)

    def from_anchors(self) -> str:
        """YOLOv5's boxes."""
        place = self._node("Sigmoid", self.channels(["box"], (0, 1)))
        share = self._node("Sigmoid", self.channels(["box"], (2, 3)))
        sizes = 4 * self._sizes.T * self._scale[:, None]
        size = self._times(self._node("Mul", share, share), sizes.ravel(), each_anchor=False)
        return self._node("Concat", self._located(place, [0, 1], (2, -0.5)), size, axis=1)

    def from_anchor_exponents(self) -> str:
        """YOLOv3's boxes, and those before and after it."""
        place = self._node("Sigmoid", self.channels(["box"], (0, 1)))
        share = self._node("Exp", self.channels(["box"], (2, 3)))
        size = self._times(share, (self._sizes.T * self._scale[:, None]).ravel(), each_anchor=False)
        centre = self._located(place, [0, 1], (self._reach, (1 - self._reach) / 2))
        return self._node("Concat", centre, size, axis=1)

    def _located(self, values: str, axes: Sequence[int], how: tuple[float, float] | None = None) -> str:
        """(cell + offset + factor * value) * unit for x and y (axes 0 and 1), 0 for other channels."""
        factor, offset = how or POINTS[self.part("keypoints").coding]
        unit = np.asarray([*self._unit, 0])[axes]
        cells = (self._cells(axes) + offset) * unit[:, None, None]
        return self._plus(self._times(values, factor * unit), cells)

    def _cells(self, axes: Sequence[int]) -> NDArray[np.float64]:
        """The cell's x for axis 0, its y for axis 1: [axes, height, width]."""
        y, x = np.mgrid[: self.height, : self.width].astype(float)
        return np.stack([x, y, np.zeros_like(x)])[list(axes)]

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self._builder.node(operator, *inputs, **attributes)

    def _linear(self, tensor: str, matrix: NDArray[np.float64]) -> str:
        return self._node("Conv", tensor, self._constant(matrix[:, :, None, None]), kernel_shape=[1, 1])

    def _times(self, tensor: str, factors: ArrayLike, each_anchor: bool = True) -> str:
        """Multiply by one number, or by one for each channel."""
        values = np.ravel(np.asarray(factors, np.float32))
        if values.size > 1 and each_anchor:
            values = np.repeat(values, self.anchors)
        return self._node("Mul", tensor, self._constant(values[None, :, None, None]))

    def _plus(self, tensor: str, offsets: ArrayLike) -> str:
        """Add one number, or [channels, height, width]."""
        values = np.atleast_3d(np.asarray(offsets, np.float32))
        if len(values) > 1:
            values = np.repeat(values, self.anchors, axis=0)
        return self._node("Add", tensor, self._constant(values[None]))

    def _constant(self, values: NDArray[np.floating]) -> str:
        return self._builder.constant(values.astype(np.float32))


_BOXES: dict[str, Callable[[Stride], str]] = {
    "anchor-exponents": Stride.from_anchor_exponents,
    "anchor-logits": Stride.from_anchors,
    "bins": Stride.from_distances,
    "distances": Stride.from_distances,
    "exponents": Stride.from_exponents,
}
