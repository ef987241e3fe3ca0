"""A model's card: what a program must know beside the tensors, small enough to live in the .rknn itself.

It is JSON in the file's custom string, which a board's runtime gives for RKNN_QUERY_CUSTOM_STRING. Runtimes
have room for 1023 bytes and the toolkit refuses more: labels that do not fit are in model.decode.json only.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from host.decoding.contract import Decode

VERSION = 1
KEY = "rkforge"
LIMIT_BYTES = 1023


def make(name: str, decode: Decode, labels: Sequence[str], image: Mapping[str, Any] | None) -> str:
    """The card as compact JSON.

    Args:
        name: of the model.
        decode: what its outputs mean.
        labels: class names in order, or none.
        image: `decode.Image.to_json` of its image input; None without one.
    """
    card: dict[str, Any] = {KEY: VERSION, "name": name, "task": decode.task}
    card |= {"head": decode.family, "layout": decode.layout}
    if image is not None:
        card["image"] = dict(image)
    if labels:
        card["labels"] = list(labels)
    return next((text for text in map(_text, _shorter(card)) if len(text.encode()) <= LIMIT_BYTES), "")


def read(custom_string: str | None) -> dict[str, Any] | None:
    """The card in a file's custom string; None when it holds something else."""
    try:
        card = json.loads(custom_string or "")
    except (ValueError, RecursionError):
        return None
    return card if isinstance(card, dict) and card.get(KEY) == VERSION else None


def _shorter(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The card, and what is left when it is too long: without labels, then with a short name."""
    without = {key: value for key, value in card.items() if key != "labels"}
    return [card, without, {**without, "name": without["name"][:100]}]


def _text(card: Mapping[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False, separators=(",", ":"))
