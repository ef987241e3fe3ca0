"""Where a section stands in its network: the layers before it, and what they give."""

from collections.abc import Sequence
from dataclasses import dataclass

from host.sources.darknet.layers import IMAGE, Layer, Shape
from host.sources.darknet.sections import Section

MOST_LAYERS = 4096


@dataclass(frozen=True)
class Place:
    """Where a section stands in the network."""

    before: Sequence[Layer]
    image: Shape

    @property
    def number(self) -> int:
        """Of the layer that the section will be."""
        return len(self.before)

    @property
    def usual(self) -> int:
        """The layer that is read where no other is named."""
        return self.number - 1 if self.before else IMAGE

    def shape(self, number: int) -> Shape:
        """What a layer gives."""
        return self.image if number == IMAGE else self.before[number].outer

    def named(self, section: Section, key: str) -> tuple[int, ...]:
        """The layers that an option names: from the first, or, below zero, backwards from here.

        Raises:
            Fault: model-invalid.
        """
        numbers = section.wholes(key, -MOST_LAYERS, MOST_LAYERS)
        if not numbers:
            raise section.wrong(f"{key}= is missing")
        found = tuple(number + self.number if number < 0 else number for number in numbers)
        for each, number in zip(numbers, found, strict=True):
            if not 0 <= number < self.number:
                raise section.wrong(f"{key}={each} names no layer before this one, number {self.number}", key)
        return found


def size_text(shape: Shape) -> str:
    """Width x height x channels, as Darknet prints it."""
    channels, height, width = shape
    return f"{width}x{height}x{channels}"
