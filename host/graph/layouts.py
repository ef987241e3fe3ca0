"""Which outputs each `--head` layout gives for each kind of head, and which one `auto` takes.

Names in a row are roles of the last convolutions (see host/decoding/contract.py). `a+b` is one output with
both in it, `a*` has its sigmoid applied inside the graph, `score_sum` is made from the classes.
"""

from dataclasses import dataclass

from host.decoding.contract import Decode

LAYOUTS = ("raw", "branches", "branches6", "end2end", "split")
HEADS = ("auto", *LAYOUTS)


@dataclass(frozen=True)
class Cut:
    """The outputs of a head that is cut before its values are decoded."""

    per_stride: tuple[str, ...]
    whole: tuple[str, ...] = ()
    """Outputs over the cells of all strides, and images."""


_BINS = ("yolov8", "yolo26")
_SCORED = ("box", "class*", "score_sum")

# the layouts that rknn_model_zoo, its C and C++ demos and Frigate decode
_ZOO: dict[tuple[str, str], Cut] = {
    **{(family, "detect"): Cut(_SCORED) for family in (*_BINS, "yolov6", "yolov6-bins")},
    **{(family, "segment"): Cut((*_SCORED, "mask"), ("prototypes",)) for family in _BINS},
    **{(family, "pose"): Cut(("box+class",), ("keypoints",)) for family in _BINS},
    **{(family, "obb"): Cut(("box+class",), ("angle*",)) for family in _BINS},
    ("yolox", "detect"): Cut(("box+objectness*+class*",)),
    ("yolov5", "detect"): Cut(("box*+objectness*+class*",)),
    ("yolov3", "detect"): Cut(("box+objectness+class",)),
    ("yolov2", "detect"): Cut(("box+objectness+class",)),
    ("yolov5", "segment"): Cut(("box*+objectness*+class*", "mask"), ("prototypes",)),
}

# an output for each role
_PLAIN: dict[tuple[str, str], Cut] = {
    **{(family, "detect"): Cut(("box", "class*")) for family in (*_BINS, "yolov6", "yolov6-bins")},
    **{(family, "segment"): Cut(("box", "class*", "mask"), ("prototypes",)) for family in _BINS},
    **{(family, "pose"): Cut(("box", "class*", "keypoints")) for family in _BINS},
    **{(family, "obb"): Cut(("box", "class*", "angle*")) for family in _BINS},
    ("yolox", "detect"): Cut(("box", "objectness*", "class*")),
    ("yolov3", "detect"): Cut(("box", "objectness+class")),
    ("yolov2", "detect"): Cut(("box", "objectness+class")),
    ("nanodet", "detect"): Cut(("class*", "box")),
    ("nanodet-plus", "detect"): Cut(("class*", "box")),
}

CUTS: dict[str, dict[tuple[str, str], Cut]] = {"branches": _PLAIN | _ZOO, "branches6": _ZOO | _PLAIN}

# where 8 bits would lose what the model zoo's layout puts into one output
_APART = {(family, task) for family in _BINS for task in ("pose", "obb")}
_APART |= {(family, "detect") for family in ("yolox", "yolov3", "yolov2")}


_DECODED = ("xywh", "xyxy")
_UNIT = ("anchors", "half-turns", "probability")


def chosen(own: Decode, activation_bits: int | None) -> str:
    """The layout that `auto` takes for a head that was recognised.

    Integers keep neither decoded boxes (a step of 8 bits is pixels wide) nor values of 0..1 beside others:
    such heads are cut. Floats keep the model's own output, unless that is a choice of finished detections,
    which no NPU makes.
    """
    codings = [{part.coding for part in output.parts} for output in own.outputs]
    decoded = any(each.intersection(_DECODED) for each in codings)
    mixed = any(len({coding in _UNIT for coding in each}) > 1 for each in codings)
    if own.nms and (activation_bits is None or not (decoded or mixed)):
        return "raw"
    return "branches6" if (own.family, own.task) in _APART else "branches"
