"""Small detectors with the heads that exporters write, decoding included; they run in milliseconds.

Written from what exported graphs do. Names say nothing, on purpose.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

WIDTH, HEIGHT = 96, 64
STRIDES = (8, 16, 32)
CLASSES = 5
KEYPOINTS = 4
MASKS = 6
ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
CELLS = {stride: (WIDTH // stride) * (HEIGHT // stride) for stride in STRIDES}
CANDIDATES = sum(CELLS.values())
BINS = 16


class Net:
    """A graph that grows; tensors are names."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset, self.random = opset, np.random.default_rng(seed)
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        names = [f"t{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(make_node(kind, inputs, names, **attributes))
        return names

    def const(self, values: ArrayLike, dtype: type = np.float32) -> str:
        name = f"c{len(self._weights)}"
        self._weights.append(from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def conv(self, source: str, inputs: int, channels: int, kernel: int = 1, bias: float = 0) -> str:
        """A convolution with as many pixels of stride as its kernel has."""
        weights = self.random.normal(0, 1 / np.sqrt(inputs * kernel), (channels, inputs, kernel, kernel))
        return self.op(
            "Conv",
            source,
            self.const(weights),
            self.const(self.random.normal(bias, 0.5, channels)),
            kernel_shape=[kernel] * 2,
            strides=[kernel] * 2,
        )

    def reshape(self, source: str, *shape: int) -> str:
        return self.op("Reshape", source, self.const(shape, np.int64))

    def slice(self, source: str, start: int, stop: int, axis: int) -> str:
        return self.op("Slice", source, *(self.const([each], np.int64) for each in (start, stop, axis)))

    def math(self, kind: str, source: str, value: ArrayLike) -> str:
        return self.op(kind, source, self.const(value))

    def features(self, channels: int = 8) -> dict[int, str]:
        """Something of every stride that depends on the input."""
        return {stride: self.op("Tanh", self.conv("image", 3, channels, stride)) for stride in STRIDES}

    def model(self, *outputs: tuple[str, Sequence[int]]) -> ModelProto:
        graph = make_graph(
            self._nodes,
            "head",
            [make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
            [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
            self._weights,
        )
        return make_model(graph, opset_imports=[make_opsetid("", self.opset)], ir_version=8)


def cells(stride: int) -> NDArray[np.float32]:
    """x and y of every cell, rows first: [2, cells]."""
    y, x = np.mgrid[: HEIGHT // stride, : WIDTH // stride].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()])


def every_cell() -> NDArray[np.float32]:
    return np.concatenate([cells(stride) for stride in STRIDES], axis=1)


def every_stride() -> NDArray[np.float32]:
    return np.concatenate([np.full(count, stride, np.float32) for stride, count in CELLS.items()])


def joined(net: Net, branches: dict[int, str], channels: int) -> str:
    """Branches of all strides as [1, channels, candidates]."""
    return net.op("Concat", *(net.reshape(each, 1, channels, -1) for each in branches.values()), axis=2)


def yolov8(
    task: str = "detect",
    bins: int = BINS,
    opset: int = 17,
    rows: bool = False,
    classes: int = CLASSES,
    class_first: bool = False,
    scale: float = 1.0,
) -> ModelProto:
    """The head of YOLOv8, 11 and others; with `bins=1` of YOLO26.

    Args:
        task: detect, segment, pose or obb.
        bins: for each side of a box.
        opset: below 13 the softmax is between transposes.
        rows: finished with the best ten, as NMS-free exports are.
        classes: how many.
        class_first: the class convolutions come before those of boxes.
        scale: of boxes; 1 is right.
    """
    net = Net(opset)
    features = net.features()
    order = (
        [("class", classes), ("box", 4 * bins)] if class_first else [("box", 4 * bins), ("class", classes)]
    )
    order += {"segment": [("extra", MASKS)], "pose": [("extra", 3 * KEYPOINTS)], "obb": [("extra", 1)]}.get(
        task, []
    )
    branches = {
        role: joined(
            net,
            {
                stride: net.conv(each, 8, width, bias=-1.5 * (role == "class"))
                for stride, each in features.items()
            },
            width,
        )
        for role, width in order
    }
    extra, coordinates = [], every_cell() + 0.5
    turn = None
    if task == "segment":
        extra = [branches["extra"]]
    if task == "pose":
        extra = [keypoints(net, branches["extra"], doubled=bins > 1)]
    if task == "obb":
        turn = branches["extra"]
        if bins > 1:
            turn = net.math("Mul", net.math("Sub", net.op("Sigmoid", turn), 0.25), np.pi)
        extra = [turn]
    distances = branches["box"] if bins == 1 else expectation(net, branches["box"], bins)
    boxes = rotated(net, distances, turn) if turn else straight(net, distances, coordinates, corners=rows)
    boxes = net.math("Mul", boxes, every_stride() * scale)
    scores = net.op("Sigmoid", branches["class"])
    width = 4 + classes + {"segment": MASKS, "pose": 3 * KEYPOINTS, "obb": 1}.get(task, 0)
    output, shape = net.op("Concat", boxes, scores, *extra, axis=1), (1, width, CANDIDATES)
    if rows:
        output, shape = best_ten(net, output, classes, width), (1, 10, width - classes + 2)
    if task == "segment":
        images = net.op("Relu", net.conv("image", 3, MASKS, 4))
        return net.model((output, shape), (images, (1, MASKS, HEIGHT // 4, WIDTH // 4)))
    return net.model((output, shape))


def expectation(net: Net, values: str, bins: int) -> str:
    """Distances from the logits of bins."""
    apart = net.op("Transpose", net.reshape(values, 1, 4, bins, CANDIDATES), perm=[0, 2, 1, 3])
    if net.opset < 13:
        moved = net.op("Transpose", apart, perm=[0, 3, 2, 1])
        shares = net.op("Transpose", net.op("Softmax", moved, axis=3), perm=[0, 3, 2, 1])
    else:
        shares = net.op("Softmax", apart, axis=1)
    weights = net.const(np.arange(bins).reshape(1, bins, 1, 1))
    return net.reshape(net.op("Conv", shares, weights, kernel_shape=[1, 1]), 1, 4, CANDIDATES)


def straight(net: Net, distances: str, centres: NDArray[np.float32], corners: bool) -> str:
    """Boxes in strides: centre and size, or two corners."""
    low = net.op("Sub", net.const(centres[None]), net.slice(distances, 0, 2, 1))
    high = net.op("Add", net.const(centres[None]), net.slice(distances, 2, 4, 1))
    if corners:
        return net.op("Concat", low, high, axis=1)
    return net.op("Concat", net.math("Div", net.op("Add", low, high), 2), net.op("Sub", high, low), axis=1)


def rotated(net: Net, distances: str, angle: str) -> str:
    near, far = net.slice(distances, 0, 2, 1), net.slice(distances, 2, 4, 1)
    shift = net.math("Div", net.op("Sub", far, near), 2)
    x, y = net.slice(shift, 0, 1, 1), net.slice(shift, 1, 2, 1)
    cos, sin = net.op("Cos", angle), net.op("Sin", angle)
    turned = net.op(
        "Concat",
        net.op("Sub", net.op("Mul", x, cos), net.op("Mul", y, sin)),
        net.op("Add", net.op("Mul", x, sin), net.op("Mul", y, cos)),
        axis=1,
    )
    centre = net.math("Add", turned, (every_cell() + 0.5)[None])
    return net.op("Concat", centre, net.op("Add", near, far), axis=1)


def keypoints(net: Net, values: str, doubled: bool) -> str:
    """Of YOLOv8 (doubled offsets from the corner), or of YOLO26 (offsets from the centre)."""
    apart = net.reshape(values, 1, KEYPOINTS, 3, CANDIDATES)
    xy = net.slice(apart, 0, 2, 2)
    xy = (
        net.math("Add", net.math("Mul", xy, 2), every_cell())
        if doubled
        else net.math("Add", xy, every_cell() + 0.5)
    )
    visible = net.op("Sigmoid", net.slice(apart, 2, 3, 2))
    together = net.op("Concat", net.math("Mul", xy, every_stride()), visible, axis=2)
    return net.reshape(together, 1, 3 * KEYPOINTS, CANDIDATES)


def best_ten(net: Net, output: str, classes: int, width: int) -> str:
    """The ten best pairs of candidate and class, as rows."""
    table = net.op("Transpose", output, perm=[0, 2, 1])
    boxes, scores, extra = (
        net.slice(table, start, stop, 2) for start, stop in ((0, 4), (4, 4 + classes), (4 + classes, width))
    )
    best, place = net.ops("TopK", 2, net.reshape(scores, 1, -1), net.const([10], np.int64), axis=1)
    row = net.reshape(net.op("Div", place, net.const([classes], np.int64)), 10)
    label = net.op("Cast", net.op("Mod", place, net.const([classes], np.int64)), to=TensorProto.FLOAT)
    parts = [net.op("Gather", boxes, row, axis=1), net.reshape(best, 1, 10, 1), net.reshape(label, 1, 10, 1)]
    if width > 4 + classes:
        parts.append(net.op("Gather", extra, row, axis=1))
    return net.op("Concat", *parts, axis=2)


def yolov5(masks: int = 0, decoded: bool = True) -> ModelProto:
    """The head with anchors; undecoded as YOLOv7's `export.py` leaves it without --grid."""
    net = Net()
    width = 5 + CLASSES + masks
    pieces, maps = [], []
    for stride, feature in net.features().items():
        height, length = HEIGHT // stride, WIDTH // stride
        apart = net.reshape(net.conv(feature, 8, 3 * width), 1, 3, width, height, length)
        table = net.op("Transpose", apart, perm=[0, 1, 3, 4, 2])
        maps.append((table, (1, 3, height, length, width)))
        shares = net.op("Sigmoid", net.slice(table, 0, 5 + CLASSES, 4))
        grid = cells(stride).T.reshape(1, 1, height, length, 2)
        sizes = np.reshape(ANCHORS[stride], (1, 3, 1, 1, 2))
        xy = net.math("Add", net.math("Mul", net.slice(shares, 0, 2, 4), 2), grid - 0.5)
        wh = net.math("Pow", net.math("Mul", net.slice(shares, 2, 4, 4), 2), 2)
        parts = [
            net.math("Mul", xy, stride),
            net.math("Mul", wh, sizes),
            net.slice(shares, 4, 5 + CLASSES, 4),
        ]
        if masks:
            parts.append(net.slice(table, 5 + CLASSES, width, 4))
        pieces.append(net.reshape(net.op("Concat", *parts, axis=4), 1, -1, width))
    if not decoded:
        return net.model(*maps)
    output = (net.op("Concat", *pieces, axis=1), (1, 3 * CANDIDATES, width))
    if not masks:
        return net.model(output)
    images = net.op("Relu", net.conv("image", 3, masks, 4))
    return net.model(output, (images, (1, masks, HEIGHT // 4, WIDTH // 4)))


REACHES = (1.2, 1.1, 1.05)


def yolov3(shares: bool = False, last: bool = False, reaches: Sequence[float] = REACHES) -> ModelProto:
    """Exponents of anchors, strides from the largest, as Darknet's networks end.

    Args:
        shares: classes as shares of one, as YOLOv2 has them.
        last: the channels come last and coordinates are shares of the input's size, as others export it.
        reaches: of centres, by stride.
    """
    net = Net()
    width = 5 + CLASSES
    pieces = []
    for (stride, feature), reach in [*zip(net.features().items(), reaches, strict=True)][::-1]:
        branch = net.conv(feature, 8, 3 * width)
        for number, anchor in enumerate(ANCHORS[stride]):
            xy, wh, objectness, classes = (
                net.slice(branch, number * width + start, number * width + stop, 1)
                for start, stop in ((0, 2), (2, 4), (4, 5), (5, width))
            )
            centre = net.math("Mul", net.op("Sigmoid", xy), reach)
            grid = cells(stride).reshape(1, 2, HEIGHT // stride, -1) - (reach - 1) / 2
            size = np.array(anchor)[None, :, None, None]
            parts = [
                net.math("Mul", net.math("Add", centre, grid), stride),
                net.math("Mul", net.op("Exp", wh), size),
                net.op("Sigmoid", objectness),
            ]
            if shares:
                turned = net.op("Transpose", classes, perm=[0, 2, 3, 1])
                parts.append(net.op("Transpose", net.op("Softmax", turned, axis=3), perm=[0, 3, 1, 2]))
            else:
                parts.append(net.op("Sigmoid", classes))
            pieces.append(net.reshape(net.op("Concat", *parts, axis=1), 1, width, -1))
    table = net.op("Concat", *pieces, axis=2)
    if not last:
        return net.model((table, (1, width, 3 * CANDIDATES)))
    scale = np.ones(width)
    scale[:4] = np.tile([1 / WIDTH, 1 / HEIGHT], 2)
    turned = net.math("Mul", net.op("Transpose", table, perm=[0, 2, 1]), scale)
    return net.model((turned, (1, 3 * CANDIDATES, width)))


def yolox(decoded: bool = True) -> ModelProto:
    """Decoded, or with offsets and logarithms as its `export_onnx` leaves them."""
    net = Net()
    width = 5 + CLASSES
    glued = {}
    for stride, feature in net.features().items():
        scores = [net.op("Sigmoid", net.conv(feature, 8, channels)) for channels in (1, CLASSES)]
        glued[stride] = net.op("Concat", net.conv(feature, 8, 4), *scores, axis=1)
    table = net.op("Transpose", joined(net, glued, width), perm=[0, 2, 1])
    if decoded:
        strides = every_stride()[:, None]
        xy = net.math("Mul", net.math("Add", net.slice(table, 0, 2, 2), every_cell().T), strides)
        wh = net.math("Mul", net.op("Exp", net.slice(table, 2, 4, 2)), strides)
        table = net.op("Concat", xy, wh, net.slice(table, 4, width, 2), axis=2)
    return net.model((table, (1, CANDIDATES, width)))


def yolov6() -> ModelProto:
    """Distances without bins, and an objectness that is always 1."""
    net = Net()
    features = net.features()
    scores = joined(
        net,
        {stride: net.op("Sigmoid", net.conv(each, 8, CLASSES)) for stride, each in features.items()},
        CLASSES,
    )
    distances = joined(net, {stride: net.conv(each, 8, 4) for stride, each in features.items()}, 4)
    boxes = net.math("Mul", straight(net, distances, every_cell() + 0.5, corners=False), every_stride())
    ones = net.const(np.ones((1, 1, CANDIDATES)))
    table = net.op("Transpose", net.op("Concat", boxes, ones, scores, axis=1), perm=[0, 2, 1])
    return net.model((table, (1, CANDIDATES, 5 + CLASSES)))


def boxes_and_scores() -> ModelProto:
    """Decoded corners and scores as two outputs, as YOLO-NAS has them."""
    net = Net()
    features = net.features()
    bins = joined(net, {stride: net.conv(each, 8, 4 * BINS) for stride, each in features.items()}, 4 * BINS)
    logits = joined(net, {stride: net.conv(each, 8, CLASSES) for stride, each in features.items()}, CLASSES)
    boxes = straight(net, expectation(net, bins, BINS), every_cell() + 0.5, corners=True)
    outputs = [net.math("Mul", boxes, every_stride()), net.op("Sigmoid", logits)]
    turned = [net.op("Transpose", each, perm=[0, 2, 1]) for each in outputs]
    return net.model((turned[0], (1, CANDIDATES, 4)), (turned[1], (1, CANDIDATES, CLASSES)))


def open_vocabulary() -> ModelProto:
    """Classes by comparison with the embeddings of their names, as YOLO-World and YOLOE have them."""
    net = Net()
    features = net.features()
    texts = net.op("Tanh", net.const(net.random.normal(size=(1, CLASSES, 8))))
    logits = {}
    for stride, feature in features.items():
        likeness = net.op("MatMul", texts, net.reshape(net.conv(feature, 8, 8), 1, 8, -1))
        grid = net.reshape(likeness, 1, CLASSES, HEIGHT // stride, WIDTH // stride)
        logits[stride] = net.math("Add", net.op("Mul", grid, net.op("Exp", net.const(0.5))), -1.0)
    bins = joined(net, {stride: net.conv(each, 8, 4 * BINS) for stride, each in features.items()}, 4 * BINS)
    boxes = straight(net, expectation(net, bins, BINS), every_cell() + 0.5, corners=False)
    scores = net.op("Sigmoid", joined(net, logits, CLASSES))
    output = net.op("Concat", net.math("Mul", boxes, every_stride()), scores, axis=1)
    return net.model((output, (1, 4 + CLASSES, CANDIDATES)))


def picodet() -> ModelProto:
    """Classes and bins of every stride, from one convolution; first all classes, then all boxes."""
    net = Net()
    classes: list[tuple[str, Sequence[int]]] = []
    boxes: list[tuple[str, Sequence[int]]] = []
    for stride, feature in net.features().items():
        table = net.conv(feature, 8, CLASSES + 32)
        parts = [
            net.op("Sigmoid", net.slice(table, 0, CLASSES, 1)),
            net.slice(table, CLASSES, CLASSES + 32, 1),
        ]
        for part, width, found in zip(parts, (CLASSES, 32), (classes, boxes), strict=True):
            flat = net.op("Transpose", net.reshape(part, 1, width, -1), perm=[0, 2, 1])
            found.append((flat, (1, CELLS[stride], width)))
    return net.model(*classes, *boxes)


def ssd() -> ModelProto:
    """Offsets from prior boxes that the graph does not hold, and class shares."""
    net = Net()
    features = net.features()
    tables = [
        net.op(
            "Transpose",
            joined(net, {s: net.conv(each, 8, width) for s, each in features.items()}, width),
            perm=[0, 2, 1],
        )
        for width in (4, CLASSES)
    ]
    shares = net.op("Softmax", tables[1], axis=2)
    return net.model((tables[0], (1, CANDIDATES, 4)), (shares, (1, CANDIDATES, CLASSES)))


def classifier() -> ModelProto:
    """Shares of classes."""
    net = Net()
    pooled = net.op("GlobalAveragePool", net.conv("image", 3, CLASSES, 8))
    return net.model((net.op("Softmax", net.reshape(pooled, 1, CLASSES), axis=1), (1, CLASSES)))


def feature_maps() -> ModelProto:
    """No detector: a backbone whose outputs have the shapes of a head."""
    net = Net()
    outputs = []
    for stride, feature in net.features().items():
        for width in (64, CLASSES):
            outputs.append((net.conv(feature, 8, width), (1, width, HEIGHT // stride, WIDTH // stride)))
    return net.model(*outputs)
