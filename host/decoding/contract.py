"""What a model's outputs mean, as data: everything that turns them into boxes, scores and keypoints.

Standard library only. Together with decoder.py it can be copied beside a deployed model and used as it is.

An output is a sequence of parts along its channel axis. A part has a role (what it tells) and a coding (how):

box
    xywh, xyxy: centre and size, or two corners, on the input, in pixels or (`normalised`) in 0..1
    distances: from a cell's centre to the left, top, right and bottom side, in strides
    bins: the same four, each as the logits of `reg_max` bins whose expectation it is
    anchors: YOLOv5's probabilities p; centre (cell + 2p - 0.5) * stride, size (2p)^2 * anchor
    anchor-logits: the same before the sigmoid
    exponents: YOLOX; centre (cell + t) * stride, size exp(t) * stride
    anchor-exponents: YOLOv2 to v4; centre (cell + 0.5 + reach * (sigmoid(t) - 0.5)) * stride,
        size exp(t) * anchor
    unknown: what SSD heads give, relative to prior boxes that are in no graph
class, objectness, score
    probability, logit: one number for each class, or one for the box
    softmax: of classes; each one's probability is its share in the softmax of all
score_sum
    probability: the sum of the class scores, at most 1: a quick look before the classes are read
label
    index: the class of a finished detection; role `score` has its probability
keypoints
    xy: x, y and, with three numbers each, visibility as a probability; unit as boxes
    corner+2t: (cell + 2t) * stride; visibility is a logit
    centre+t: (cell + 0.5 + t) * stride; visibility is a logit
points, visibility
    xy, probability: keypoints in two outputs, because their ranges differ
angle
    radians: of an oriented box, from x towards y
    half-turns: p; the angle is (p - 0.25) * pi
    logit: p before the sigmoid
mask
    linear: coefficients; the mask is sigmoid(coefficients . prototypes) inside the box
prototypes
    linear: images that all boxes share

A cell is counted from 0, x to the right and y down; its centre is cell + 0.5.
"""

from dataclasses import asdict, dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class Part:
    """Consecutive channels of an output: what they tell and how."""

    role: str
    channels: int
    coding: str


@dataclass(frozen=True)
class Output:
    """One output in the model's order.

    With anchors its parts repeat once per anchor, where the channels have room for that. An output without
    parts is one whose meaning is not known.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...] = ()
    stride: int = 0
    """Input pixels per cell; 0 where the cells of all strides follow each other, rows first."""
    channels_last: bool = False
    """[1, cells, channels] instead of [1, channels, cells] or [1, channels, height, width]."""

    @property
    def role(self) -> str:
        """Its one role, or several joined by "+"."""
        return "+".join(part.role for part in self.parts)


@dataclass(frozen=True)
class Decode:
    """How to read all outputs of one model."""

    family: str
    """Key of `host.graph.families.FAMILIES`, or "unknown"."""
    task: str
    """detect, segment, pose, obb, classify, or "unknown"."""
    layout: str
    """raw, branches, branches6, end2end or split."""
    outputs: tuple[Output, ...]
    input_size: tuple[int, int] = (0, 0)
    """Width and height in pixels."""
    classes: int = 0
    strides: tuple[int, ...] = ()
    """In the order of the cells."""
    reg_max: int = 0
    """Bins per side of coding `bins`."""
    anchors: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Width and height in pixels, for each stride; empty without anchors, zeros where they are not known."""
    keypoints: tuple[int, int] = (0, 0)
    """How many, and numbers for each (2 or 3)."""
    normalised: bool = False
    """Whether finished boxes and keypoints are fractions of the input size."""
    reach: tuple[float, ...] = ()
    """Of each stride, where boxes have one: how far a centre can get, in cells. Without it 1."""
    nms: bool = True
    """Whether overlapping boxes must still be removed; one-to-one heads have none."""

    @property
    def known(self) -> bool:
        """Whether the outputs can be decoded; some heads need anchors that their graphs do not hold."""
        codings = {part.coding for output in self.outputs for part in output.parts}
        complete = all(output.parts for output in self.outputs) and "unknown" not in codings
        return complete and all(width for sizes in self.anchors for width, _ in sizes)

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """Width and height of the grid of each stride."""
        width, height = self.input_size
        return tuple((-(-width // stride), -(-height // stride)) for stride in self.strides)

    @property
    def candidates(self) -> int:
        """How many boxes the grids hold, all anchors counted."""
        return sum(map(prod, self.cells)) * max(1, *map(len, self.anchors), 1)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Decode":
        """What `to_json` wrote, also after a turn through JSON."""
        outputs = tuple(
            Output(**{**each, "shape": tuple(each["shape"]), "parts": tuple(map(_part, each["parts"]))})
            for each in data["outputs"]
        )
        anchors = tuple(tuple((float(w), float(h)) for w, h in of_stride) for of_stride in data["anchors"])
        tuples = {name: tuple(data[name]) for name in ("input_size", "strides", "keypoints", "reach")}
        return cls(**{**data, **tuples, "outputs": outputs, "anchors": anchors})


def _part(data: dict[str, Any]) -> Part:
    return Part(**data)
