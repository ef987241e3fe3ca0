"""The cache answers exactly the same request, with whole and undamaged entries only."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from host.results import cache
from host.steps import facts
from shared.faults import Fault


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RKFORGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "results"


def files(tmp_path: Path, text: str) -> dict[str, Path]:
    folder = tmp_path / text
    folder.mkdir()
    for name in ("artifact.rknn", "facts.json"):
        (folder / name).write_text(text)
    return {path.name: path for path in folder.iterdir()}


def test_key_depends_on_content_not_on_order() -> None:
    key = cache.key({"a": 1, "b": {"c": [1, 2], "d": None}})
    assert key == cache.key({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert len({key, cache.key({"a": 1, "b": {"c": [2, 1], "d": None}}), cache.key({"a": "1"})}) == 3


def test_entry_is_found_with_its_files(tmp_path: Path) -> None:
    assert cache.find("key") is None
    cache.store("key", files(tmp_path, "first"))
    entry = cache.find("key")
    assert entry is not None
    assert {path.name: path.read_text() for path in entry.iterdir()} == {
        "artifact.rknn": "first",
        "facts.json": "first",
    }


def test_first_to_store_wins(tmp_path: Path, folder: Path) -> None:
    for text in ("first", "second"):
        cache.store("key", files(tmp_path, text))
    assert (folder / "key" / "facts.json").read_text() == "first"
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_many_may_store_at_once(tmp_path: Path, folder: Path) -> None:
    given = [files(tmp_path, f"run{number}") for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: cache.store("key", each), given))
    texts = {path.read_text() for path in (folder / "key").iterdir()}
    assert len(texts) == 1
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_half_an_entry_is_never_kept(tmp_path: Path, folder: Path) -> None:
    given = {**files(tmp_path, "whole"), "gone": tmp_path / "gone"}
    with pytest.raises((OSError, Fault)):
        cache.store("key", given)
    assert cache.find("key") is None
    assert list(folder.iterdir()) == []


WHOLE = {
    "artifact.rknn": b"made",
    "facts.json": json.dumps(
        {"artifact": {"sha256": hashlib.sha256(b"made").hexdigest()}, "documents": ["decode.json"]}
    ).encode(),
    "log.txt": b"said",
    "document.decode.json": b"{}",
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, None) for name in WHOLE),
        ("artifact.rknn", b"mad"),
        ("facts.json", WHOLE["facts.json"][:-1]),
        ("facts.json", b"\xff" * 9),
        ("facts.json", b"{}"),
    ],
)
def test_damaged_entry_is_not_intact(tmp_path: Path, name: str, content: bytes | None) -> None:
    for each, whole in WHOLE.items():
        (tmp_path / each).write_bytes(whole)
    assert facts.intact(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    assert not facts.intact(tmp_path)
