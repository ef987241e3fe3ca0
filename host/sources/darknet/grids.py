"""Sections that tell what the channels before them mean: [yolo] and [region]."""

from collections.abc import Callable, Sequence

from host.sources.darknet.layers import Layer, Region, Yolo
from host.sources.darknet.place import Place
from host.sources.darknet.sections import Section


def _yolo(section: Section, place: Place) -> Layer:
    shape = place.shape(place.usual)
    boxes = _anchors(section)
    mask = section.wholes("mask", 0, len(boxes) - 1) or range(len(boxes))
    return Yolo(
        number=place.number,
        reads=(place.usual,),
        inner=shape,
        outer=shape,
        anchors=tuple(boxes[number] for number in mask),
        classes=_classes(section, place, len(mask)),
        reach=section.number("scale_x_y", 1),
        squared=section.whole("new_coords", 0) > 0,
    )


def _region(section: Section, place: Place) -> Layer:
    shape = place.shape(place.usual)
    if section.whole("coords", 4) != 4:
        raise section.wrong(f"coords={section.text('coords')} is not supported, 4 is", "coords", "model-op")
    cells = shape[2], shape[1]
    pixels = place.image[2], place.image[1]
    anchors = tuple(
        (width * pixels[0] / cells[0], height * pixels[1] / cells[1]) for width, height in _anchors(section)
    )
    return Region(
        number=place.number,
        reads=(place.usual,),
        inner=shape,
        outer=shape,
        anchors=anchors,
        classes=_classes(section, place, len(anchors)),
        softmax=section.whole("softmax", 0) > 0,
    )


def _anchors(section: Section) -> Sequence[tuple[float, float]]:
    """As many pairs as `num` says."""
    count = section.whole("num", 1, 1, 1024)
    sizes = section.numbers("anchors")
    if len(sizes) < 2 * count:
        raise section.wrong(f"num={count} needs {2 * count} numbers in anchors=, there are {len(sizes)}")
    return [*zip(sizes[: 2 * count : 2], sizes[1 : 2 * count : 2], strict=True)]


def _classes(section: Section, place: Place, anchors: int) -> int:
    """How many, once the layer before has the channels for them: what is forgotten for a new data set."""
    classes = section.whole("classes", 20, 1)
    channels = place.shape(place.usual)[0]
    needed = anchors * (5 + classes)
    if channels != needed:
        raise section.wrong(
            f"{anchors} anchors and {classes} classes need {needed} channels, the layer before has "
            f"{channels}",
            hint=f"Set filters={needed} in the section before, or the right classes= here.",
        )
    return classes


PARSERS: dict[str, Callable[[Section, Place], Layer]] = {"region": _region, "yolo": _yolo}
