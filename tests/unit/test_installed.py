"""An environment's record names every package on the path, and none that hides behind another."""

import sys
from pathlib import Path

import pytest

from shared import installed


def test_packages_are_those_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "One-1.dist-info/METADATA",
        "two-2.egg-info/PKG-INFO",
        "setuptools/_vendor/zipp-3.dist-info/METADATA",
    ):
        path = tmp_path / "a [folder]" / name
        path.parent.mkdir(parents=True)
        package, version = path.parent.name.split(".")[0].split("-")
        path.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n\nName: no header\n")
    site = tmp_path / "a [folder]"
    monkeypatch.setattr(sys, "path", [str(site), str(site / "setuptools" / "_vendor")])
    assert installed.environment() == {"python": sys.version.split()[0], "packages": {"one": "1", "two": "2"}}
