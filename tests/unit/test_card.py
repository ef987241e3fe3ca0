"""The card fits what a board's runtime can give, and says as much as fits."""

import json

import pytest

from host.decoding.contract import Decode
from host.results import card

DETECTOR = Decode("yolov8", "detect", "branches", ())
IMAGE = {"color": "RGB", "mean": [0, 0, 0], "std": [255, 255, 255], "resize": "letterbox", "pad": 114}


def test_card_holds_name_task_labels_and_preprocessing() -> None:
    text = card.make("gate", DETECTOR, ["cat", "Übermut"], IMAGE)
    assert card.read(text) == {
        "rkforge": 1,
        "name": "gate",
        "task": "detect",
        "head": "yolov8",
        "layout": "branches",
        "image": IMAGE,
        "labels": ["cat", "Übermut"],
    }
    assert text == card.make("gate", DETECTOR, ["cat", "Übermut"], IMAGE)


def test_eighty_labels_of_seven_letters_fit() -> None:
    names = [f"class{number:02}" for number in range(80)]  # those of COCO have 6.8 letters on average
    found = card.read(card.make("yolov8n-pose-custom", DETECTOR, names, IMAGE))
    assert found is not None and found["labels"] == names


@pytest.mark.parametrize("label", ["a very long name of a class", "字" * 20])
def test_labels_that_do_not_fit_are_left_out_whole(label: str) -> None:
    text = card.make("net", DETECTOR, [label] * 100, IMAGE)
    assert len(text.encode()) <= card.LIMIT_BYTES
    found = card.read(text)
    assert found is not None and "labels" not in found and found["image"] == IMAGE


@pytest.mark.parametrize(("letter", "size"), [("x", 1), ("ü", 2)])
def test_limit_is_1023_bytes(letter: str, size: int) -> None:
    """Room for the labels to the last byte, whatever alphabet they are in."""
    room = 1023 - len(card.make("net", DETECTOR, [""], None))
    label = letter * (room // size) + "x" * (room % size)
    texts = [card.make("net", DETECTOR, [each], None) for each in (label, label + letter)]
    assert len(texts[0].encode()) == 1023
    assert ["labels" in (card.read(text) or {}) for text in texts] == [True, False]


def test_endless_name_is_shortened() -> None:
    found = card.read(card.make("n" * 2000, DETECTOR, [], IMAGE))
    assert found is not None and found["name"] == "n" * 100


@pytest.mark.parametrize(
    "text", [None, "", "hello", "{}", "[1]", '{"rkforge": 99}', "[" * 100_000, json.dumps({"name": "x"})]
)
def test_other_custom_strings_are_no_cards(text: str | None) -> None:
    assert card.read(text) is None
