"""Head families as data: what their last convolutions hold, and in which order their exports glue it.

Recognition does not trust this table: every row is a hypothesis that must reproduce the model's own output.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One kind of head."""

    text: str
    """For people."""
    slots: tuple[str, ...]
    """The last convolutions of one stride; one that holds several roles joins them by "+"."""
    glued: tuple[str, ...]
    """The channels of the exporter's single output."""
    box: str
    """The coding of boxes in the convolutions."""
    anchors: bool = False
    """Whether each cell has several boxes, relative to anchors."""
    classes: str = "logit"
    """The coding of classes in the convolutions."""


# "extra" is what the task adds (see EXTRAS), nothing for plain detection
FAMILIES: dict[str, Family] = {
    "yolov8": Family(
        "YOLOv5u, v8, v9, v10, 11, 12, World, YOLOE: distances as bins",
        ("box", "class", "extra"),
        ("box", "class", "extra"),
        "bins",
    ),
    "yolo26": Family(
        "YOLO26: plain distances", ("box", "class", "extra"), ("box", "class", "extra"), "distances"
    ),
    "yolov6": Family("YOLOv6", ("box", "class"), ("box", "objectness", "class"), "distances"),
    "yolov6-bins": Family("YOLOv6 m, l", ("box", "class"), ("box", "objectness", "class"), "bins"),
    "yolox": Family("YOLOX", ("box", "objectness", "class"), ("box", "objectness", "class"), "exponents"),
    "yolov5": Family(
        "YOLOv5, v7 with anchors",
        ("box+objectness+class+extra",),
        ("box", "objectness", "class", "extra"),
        "anchor-logits",
        anchors=True,
    ),
    "yolov3": Family(
        "YOLOv3, v4: exponents of anchors",
        ("box+objectness+class",),
        ("box", "objectness", "class"),
        "anchor-exponents",
        anchors=True,
    ),
    "yolov2": Family(
        "YOLOv2: exponents of anchors, classes that share",
        ("box+objectness+class",),
        ("box", "objectness", "class"),
        "anchor-exponents",
        anchors=True,
        classes="softmax",
    ),
    "nanodet": Family("NanoDet", ("class", "box"), ("class", "box"), "bins"),
    "nanodet-plus": Family("NanoDet-Plus, PicoDet", ("class+box",), ("class", "box"), "bins"),
}


@dataclass(frozen=True)
class Extra:
    """What a task adds to boxes and classes: codings of the convolution and of the exporter's output."""

    task: str
    role: str
    codings: tuple[str, ...]
    glued: str


EXTRAS = (
    Extra("segment", "mask", ("linear",), "linear"),
    Extra("pose", "keypoints", ("corner+2t", "centre+t"), "xy"),
    Extra("obb", "angle", ("logit", "radians"), "radians"),
)
