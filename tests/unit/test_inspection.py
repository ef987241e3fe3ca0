"""A file whose format is not read is shown from the record beside it, if the record is of these bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from host.commands import inspection
from host.console import Screen
from host.results import record
from shared.faults import Fault
from tests.unit.test_record import RECORD

DATA = b"a format of its own"


def recorded(data: bytes) -> dict[str, Any]:
    return {
        **RECORD,
        "request": {**RECORD["request"], "chip": "rv1126"},
        "toolkit": {"name": "legacy", "version": "1.7.5"},
        "artifact": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)},
    }


@pytest.mark.parametrize(
    ("file", "beside"),
    [("model.legacy.rknn", "rknn_source.yaml"), ("cat.v2.rknn", "cat.v2.rknn_source.yaml")],
)
def test_record_beside_a_closed_file_tells_what_it_is(
    tmp_path: Path, file: str, beside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_bytes(DATA)
    (tmp_path / beside).write_text(record.dump(recorded(DATA)))
    assert inspection.show(tmp_path / file, Screen(), as_json=False) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("rv1126", "1.7.5", "int8", "1x3x32x32", beside, "does not read"))
    assert inspection.show(tmp_path / file, Screen(), as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["platform"], document["toolkit_version"]) == ("rv1126", "1.7.5")
    assert document["record"] == str(tmp_path / beside)
    assert document["outputs"] == recorded(DATA)["model"]["outputs"]


def test_record_of_other_bytes_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.rknn").write_bytes(DATA)
    (tmp_path / "rknn_source.yaml").write_text(record.dump(recorded(b"other")))
    with pytest.raises(Fault) as caught:
        inspection.show(tmp_path / "m.rknn", Screen(), as_json=False)
    assert caught.value.code == "rknn-invalid"
    assert "rknn_source.yaml" in caught.value.hint


def test_damaged_record_and_missing_file_are_the_files_fault(tmp_path: Path) -> None:
    (tmp_path / "m.rknn").write_bytes(DATA)
    (tmp_path / "rknn_source.yaml").write_text("- nothing")
    for name in ("m.rknn", "none.rknn"):
        with pytest.raises(Fault) as caught:
            inspection.show(tmp_path / name, Screen(), as_json=False)
        assert caught.value.code == "rknn-invalid"
