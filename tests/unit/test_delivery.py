"""Results reach their place whole or not at all, and never at the cost of an earlier one."""

import os
import tempfile
from pathlib import Path

import pytest

from host.results import delivery
from shared.faults import Fault


@pytest.fixture
def sources(tmp_path: Path) -> dict[Path, Path]:
    """Target -> source, for three files of a new result; their folder has an earlier one."""
    (tmp_path / "new").mkdir()
    (tmp_path / "out").mkdir()
    files = {}
    for name in ("log.txt", "rknn_source.yaml", "model.rknn"):
        (tmp_path / "new" / name).write_text(f"new {name}")
        (tmp_path / "out" / name).write_text(f"earlier {name}")
        files[tmp_path / "out" / name] = tmp_path / "new" / name
    return files


def words(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().split()[0] for path in folder.iterdir()}


def test_files_are_replaced_together(sources: dict[Path, Path], tmp_path: Path) -> None:
    delivery.deliver(sources)
    assert words(tmp_path / "out") == dict.fromkeys(("log.txt", "rknn_source.yaml", "model.rknn"), "new")
    assert words(tmp_path / "new") == words(tmp_path / "out")


def test_files_can_be_read_as_the_umask_says(sources: dict[Path, Path]) -> None:
    before = os.umask(0o027)
    try:
        delivery.deliver(sources)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in sources} == {0o640}


def test_full_disk_leaves_the_earlier_files(
    sources: dict[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last file that is written beside its target is the kernel's own full device."""
    real = tempfile.mkstemp

    def mkstemp(prefix: str, dir: Path) -> tuple[int, str]:
        handle, name = real(prefix=prefix, dir=dir)
        if "model.rknn" in prefix:
            Path(name).unlink()
            Path(name).symlink_to("/dev/full")
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    with pytest.raises(Fault, match="no space left") as caught:
        delivery.deliver(sources)
    assert caught.value.code == "disk-full"
    assert set(words(tmp_path / "out").values()) == {"earlier"}
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_missing_source_leaves_the_earlier_files(sources: dict[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "new" / "model.rknn").unlink()
    with pytest.raises(Fault) as caught:
        delivery.deliver(sources)
    assert caught.value.code == "output-invalid"
    assert set(words(tmp_path / "out").values()) == {"earlier"}
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_folders_that_stay_empty_go_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with delivery.prepared(tmp_path / "a" / "b"), delivery.prepared(tmp_path / "mine" / "c"):
        assert list((tmp_path / "a" / "b").iterdir()) == []
        (tmp_path / "a" / "log.txt").touch()
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "log.txt", "mine"}


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/rkforge"])
def test_folder_that_cannot_be_written(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="cannot write to") as caught, delivery.prepared(tmp_path / folder):
        pytest.fail("nothing can be written there")
    assert caught.value.code == "output-invalid"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RKFORGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("cache")
def test_artefact_is_claimed_once_by_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with delivery.claimed(tmp_path / "m.rknn"):
        with delivery.claimed(tmp_path / "other.rknn"):
            pass
        with pytest.raises(Fault) as caught, delivery.claimed(tmp_path / "link" / "m.rknn"):
            pytest.fail("two runs write the same file")
        assert (caught.value.code, caught.value.exit_status) == ("output-busy", 2)
    with delivery.claimed(tmp_path / "m.rknn"):
        pass


@pytest.mark.usefixtures("cache")
def test_claim_ends_with_a_failure(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), delivery.claimed(tmp_path / "m.rknn"):
            raise KeyError
