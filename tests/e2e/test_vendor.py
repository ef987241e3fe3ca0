"""What the vendor's toolkit does wrong, for real: crashes, and failures that it names the cure for."""

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Refused


def test_crash_of_the_compiler(engine: str, refused: Refused, tiny: Path, tmp_path: Path) -> None:
    """Forced to w8a16 for rk3562, the compiler of every version corrupts its memory and dies somewhere."""
    forced = ("--chip", "rk3562", "--set", "quantized_dtype=w8a16")
    text = refused(6, "toolkit-crashed", "--model", str(tiny), "--engine", engine, *forced)
    assert re.search("crashed with SIG(ABRT|BUS|FPE|ILL|SEGV)", text)
    assert "rknn building" in (tmp_path / "out" / "failed.log.txt").read_text(errors="replace")


@pytest.mark.toolkit
def test_crash_that_is_understood(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    """rk2118 has no 8-bit convolution: the compiler says so, and aborts."""
    forced = ("--chip", "rk2118", "--set", "quantized_dtype=w8a8")
    text = refused(3, "dtype-unsupported", "--model", str(tiny), "--engine", "local", *forced)
    assert "no such operation in this dtype" in text
    assert "Meet unsupported conv" in (tmp_path / "out" / "failed.log.txt").read_text(errors="replace")


@pytest.mark.toolkit
def test_refusal_shows_the_toolkits_own_words(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    """An option of the right name with a value that only the toolkit can judge."""
    wrong = ("--set", "op_target={'nothing': 'moon'}")
    refused(6, "toolkit-refused", "--chip", "rk3588", "--model", str(tiny), "--engine", "local", *wrong)
    assert (tmp_path / "out" / "failed.log.txt").is_file()
