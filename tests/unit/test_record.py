"""rknn_source.yaml says how a file was made, can be moved with it, and is told from other YAML."""

from pathlib import Path

import pytest

from host.results import record
from shared.faults import Fault

RECORD = {
    "rkforge": "0.1.0",
    "request": {
        "model": "../größe.onnx",
        "chip": "rk3588",
        "mean": "0,0,0",
        "set": {"optimization_level": 2},
    },
    "model": {"sha256": "ab" * 32, "inputs": [{"name": "x", "shape": [1, 3, 32, 32]}]},
    "artifact": {"sha256": "cd" * 32, "canonical_digest": None},
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
        record.dump({key: value for key, value in RECORD.items() if key != "artifact"}),
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Fault) as caught:
        record.read(written(tmp_path / "r.yaml", text))
    assert caught.value.code == "record-invalid"
    assert "\n" not in caught.value.message


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
