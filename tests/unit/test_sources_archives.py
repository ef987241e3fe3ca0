"""A zip gives the model's own files, below the folder that was asked for, or a fault."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from host.sources.recognition import archives, entries
from host.sources.recognition.archives import unpack
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from shared.faults import Fault
from tests import models, sources

MODEL = models.conv().SerializeToString()


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(path: Path, folder: Path, *words: str) -> None:
    """Both recognising and unpacking what it claims to hold are refused, and nothing is written anywhere."""
    before = sorted(path.parent.rglob("*"))
    claimed = Source("onnx", {"model": Path("m.onnx")}, path)
    for source in (None, claimed):
        with pytest.raises(Fault) as caught:
            unpack(source or recognise([path]), folder)
        assert caught.value.code == "model-invalid", caught.value.message
        assert all(word in caught.value.message for word in words), caught.value.message
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "../m.onnx",
        "a/../../m.onnx",
        "/m.onnx",
        "C:/m.onnx",
        "C:m.onnx",
        "..\\m.onnx",
        "\\\\host\\share\\m.onnx",
    ],
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    refused(packed(tmp_path / "m.zip", {"m.onnx": MODEL, name: MODEL}), tmp_path / "out", "outside")


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK):
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
            info = zipfile.ZipInfo("variables")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc")
            archive.writestr("m.onnx", MODEL)
        refused(tmp_path / "m.zip", tmp_path / "out", "'variables'", "link")


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("m.onnx", MODEL)
        archive.writestr("./m.onnx", b"another")
    refused(tmp_path / "m.zip", tmp_path / "out", "twice")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    members = dict.fromkeys(("a", "b", "c", "m.onnx"), MODEL)
    refused(packed(tmp_path / "m.zip", members), tmp_path / "out", "more than 3 members")


def test_bombs_are_refused_and_weights_of_zeros_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = packed(
        tmp_path / "m.zip", {"m.onnx": MODEL + b"\xa2\x01" + sources.varint(8 << 20) + bytes(8 << 20)}
    )
    assert unpack(recognise([zeros]), tmp_path / "fine").main.stat().st_size > 8 << 20
    monkeypatch.setattr(entries, "FREE_BYTES", 1 << 20)
    with pytest.raises(Fault, match="no model shrinks like that"):
        unpack(recognise([zeros]), tmp_path / "out")
    monkeypatch.setattr(entries, "MAX_RATIO", 1 << 20)
    monkeypatch.setattr(entries, "MAX_BYTES", 1 << 20)
    with pytest.raises(Fault, match="would unpack to 8 MB"):
        unpack(recognise([zeros]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_lies_unpacks_to_no_more_than_it_says(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", {"m.onnx": MODEL + bytes(1 << 20)})
    content = path.read_bytes()
    true, lie = struct.pack("<I", len(MODEL) + (1 << 20)), struct.pack("<I", len(MODEL))
    path.write_bytes(content.replace(true, lie))
    with pytest.raises(Fault, match="damaged"):
        unpack(Source("onnx", {"model": Path("m.onnx")}, path), tmp_path / "out")
    assert (tmp_path / "out" / "m.onnx").stat().st_size <= len(MODEL)


def test_a_bomb_within_the_zip_is_not_unpacked_to_look_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "FREE_BYTES", 1 << 20)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:  # stored, so that the outer one shrinks it
        archive.writestr("zeros", bytes(8 << 20))
    with pytest.raises(Fault, match="no model shrinks"):
        recognise([packed(tmp_path / "m.zip", {"inner.pt": inner.getvalue()})])


def test_what_else_is_in_a_zip_may_be_large_and_shrink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "FREE_BYTES", 1 << 20)
    path = packed(tmp_path / "m.zip", {"m.onnx": MODEL, "log.bin": bytes(8 << 20)})
    assert unpack(recognise([path]), tmp_path / "out").format == "onnx"


def test_a_zip_in_a_zip_is_not_looked_into(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", {"m.onnx": MODEL}).read_bytes()
    with pytest.raises(Fault, match=r"inner\.zip is a zip archive") as caught:
        recognise([packed(tmp_path / "m.zip", {"inner.zip": inner})])
    assert "Unpack" in caught.value.hint


def test_only_the_models_own_files_are_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", {"a/m.onnx": MODEL, "a/readme.txt": b"x", "photos/1.jpg": b"x"})
    made = unpack(recognise([path]), tmp_path / "out")
    assert made == Source("onnx", {"model": tmp_path / "out" / "a" / "m.onnx"})
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [made.main]


def test_what_apple_adds_is_no_model(tmp_path: Path) -> None:
    members = {"m.onnx": MODEL, "__MACOSX/._m.onnx": MODEL, ".hidden/m.onnx": MODEL}
    assert recognise([packed(tmp_path / "m.zip", members)]).files["model"] == Path("m.onnx")


def _encrypted(info: zipfile.ZipInfo) -> None:
    info.flag_bits |= 1


def _rare(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_LZMA


@pytest.mark.parametrize(("change", "word"), [(_encrypted, "encrypted"), (_rare, "unusual")])
def test_members_that_cannot_be_read_are_refused(
    tmp_path: Path, change: Callable[[zipfile.ZipInfo], None], word: str
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        info = zipfile.ZipInfo("m.onnx")
        archive.writestr(info, MODEL)
        change(info)
    refused(tmp_path / "m.zip", tmp_path / "out", word)


def test_a_member_whose_folder_is_a_file_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", {"saved_model.pb": b"", "variables": b"x", "variables/v": b"y"})
    with pytest.raises(Fault) as caught:
        unpack(Source("savedmodel", {"folder": Path()}, path), tmp_path / "out")
    assert caught.value.code == "model-invalid"
