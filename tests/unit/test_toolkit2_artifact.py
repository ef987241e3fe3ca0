"""A file counts as rknn-toolkit2's result only if its bytes say so: chip, version, and that it is whole."""

import hashlib
from pathlib import Path

import pytest

from shared.faults import Fault
from tests.unit.test_contract import JOB
from toolkit2.artifact import verify

FILE = Path(__file__).parents[1] / "data" / "rk3588-int8.rknn"


def test_file_that_was_asked_for_is_described() -> None:
    found = verify(JOB._replace(chip="rk3588", toolkit_version="2.5.0"), str(FILE))
    data = FILE.read_bytes()
    assert (found.file, found.size) == (JOB.artifact, len(data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.platform, found.toolkit_version) == ("rk3588", "2.5.0")
    assert found.masked_bytes > 0


@pytest.mark.parametrize(
    ("chip", "version", "kept", "words"),
    [
        ("rk3566", "2.5.0", None, "a file for rk3588, not rk3566"),
        ("rk3588", "2.3.2", None, "from toolkit 2.5.0, not 2.3.2"),
        ("rk3588", "2.5.0", -1000, "no usable file"),
        ("rk3588", "2.5.0", 0, "no usable file"),
    ],
    ids=["chip", "version", "truncated", "empty"],
)
def test_another_file_is_none(chip: str, version: str, kept: int | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.rknn"
    path.write_bytes(FILE.read_bytes()[:kept])
    with pytest.raises(Fault, match=words) as caught:
        verify(JOB._replace(chip=chip, toolkit_version=version), str(path))
    assert caught.value.code == "artifact-invalid"
