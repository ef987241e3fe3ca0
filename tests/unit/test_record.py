"""rknn_source.yaml says how a file was made, can be moved with it, and is told from other YAML."""

from collections.abc import Iterator
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from host.commands import convert, inspection
from host.console import Screen
from host.results import record
from shared.faults import Fault
from tests import models

DATA = b"a format that rkforge does not read"
TENSOR = {"name": "x", "shape": [1, 3, 32, 32], "dtype": "float32"}
RECORD: dict[str, Any] = {
    "rkforge": "0.1.0",
    "request": {
        **{"model": "../größe.onnx", "chip": "rk3588", "dtype": "int8", "mean": "0,0,0"},
        "set": {"optimization_level": 2},
    },
    "model": {"sha256": "ab" * 32, "inputs": [TENSOR], "outputs": [TENSOR]},
    **{name: {"sha256": None} for name in ("calibration", "labels")},
    "toolkit": {"name": "toolkit2", "version": "2.5.0"},
    "artifact": {"sha256": sha256(DATA).hexdigest(), "size": len(DATA), "canonical_digest": None},
    "environment": {"python": "3.11.9"},
}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_record_survives_the_file(tmp_path: Path) -> None:
    text = record.dump(RECORD)
    assert record.read(written(tmp_path / "r.yaml", text)) == {"rknn_source": record.FORMAT, **RECORD}
    assert text.splitlines()[0] == f"rknn_source: {record.FORMAT}"
    assert "größe" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "model: m.onnx",
        "a: [",
        record.dump(RECORD).replace(f"rknn_source: {record.FORMAT}", "rknn_source: 99"),
        "a: 2026-99-99",
        "[" * 2000,
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Fault) as caught:
        record.read(written(tmp_path / "r.yaml", text))
    assert caught.value.code == "record-invalid"
    assert "\n" not in caught.value.message


def places(content: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every way into a record."""
    if way:
        yield way
    if isinstance(content, (dict, list)):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*way, key))


@pytest.mark.parametrize("way", list(places(RECORD)), ids=lambda way: ".".join(map(str, way)))
def test_edited_record_is_refused_or_works(tmp_path: Path, way: tuple[Any, ...]) -> None:
    """Whatever stands in one place, or nothing: those who read records meet no surprise."""
    models.save(models.conv(), tmp_path / "größe.onnx")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "m.rknn").write_bytes(DATA)
    values: list[Any] = [None, "", "x", 7, [], [None], {}, {"x": []}, ...]
    for value in values:
        content = deepcopy(RECORD)
        inner: Any = content
        for key in way[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[way[-1]]
        else:
            inner[way[-1]] = value
        path = written(folder / record.NAME, record.dump(content))
        with pytest.raises(Fault):  # none is of this model
            convert.repeat(path, {"engine": "local"}, Screen(), as_json=False)
        try:
            inspection.show(folder / "m.rknn", Screen(), as_json=False)
        except Fault as fault:
            assert fault.code == "rknn-invalid"


@pytest.mark.parametrize(
    ("section", "key", "place"),
    [
        ("model", "sha256", "model.sha256"),
        ("artifact", "size", "artifact.size"),
        ("request", "chip", "request.chip"),
    ],
)
def test_what_is_wrong_in_a_record_is_named(tmp_path: Path, section: str, key: str, place: str) -> None:
    content = {**RECORD, section: {name: each for name, each in RECORD[section].items() if name != key}}
    with pytest.raises(Fault, match=place) as caught:
        record.read(written(tmp_path / "r.yaml", record.dump(content)))
    assert caught.value.code == "record-invalid"


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "r.yaml", tmp_path / "none.yaml", tmp_path):
        with pytest.raises(Fault) as caught:
            record.read(path)
        assert caught.value.code == "record-invalid"


def test_paths_are_as_seen_from_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert record.relative(Path("models/m.onnx"), Path("out/deep")) == "../../models/m.onnx"
    assert record.relative(tmp_path / "m.onnx", tmp_path) == "m.onnx"


def test_differences_name_what_changed_inside() -> None:
    recorded = {"engine": "docker", "packages": {"numpy": "1.26.4", "scipy": "1"}, "machine": "x86_64"}
    now = {"engine": "local", "packages": {"numpy": "1.26.5", "scipy": "1"}, "machine": "x86_64", "new": True}
    assert record.differences(recorded, now) == [
        "engine: docker -> local",
        "packages.numpy: 1.26.4 -> 1.26.5",
        "new: None -> True",
    ]
    assert record.differences(now, now) == []
