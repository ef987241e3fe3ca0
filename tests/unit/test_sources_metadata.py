"""Class names are taken from what exporters write, and from nothing that only looks like it."""

import onnx
import pytest

from host.sources.onnx.metadata import labels
from tests import models


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{0: 'person', 1: 'traffic light'}", ("person", "traffic light")),
        ("{1: 'b', 0: 'a'}", ("a", "b")),
        ("['a', \"it's\"]", ("a", "it's")),
        ("{0: 'a', 2: 'c'}", ()),
        ("{'a': 0}", ()),
        ("'cat'", ()),
        ("7", ()),
        ("__import__('os').system('true')", ()),
        ("(" * 5000, ()),
        ("", ()),
    ],
)
def test_labels(text: str, expected: tuple[str, ...]) -> None:
    proto = models.conv()
    onnx.helper.set_model_props(proto, {"description": "x", "names": text})
    assert labels(proto) == expected


def test_model_without_metadata_has_no_labels() -> None:
    assert labels(models.conv()) == ()
