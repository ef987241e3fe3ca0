"""Whatever the bytes are, recognising, unpacking and analysing end in an answer or a fault, and in no time.

Real files of every format are cut off, flipped and mixed; zips get hostile names and wrong sizes.
"""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from warnings import catch_warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.commands import analyze
from host.console import Screen
from host.sources.recognition.archives import unpack
from host.sources.recognition.recognise import recognise
from shared.faults import Fault
from tests import sources

CODES = ("model-", "bad-option", "file-access", "pickle-")
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KNOWN_NAMES = [
    *["m.onnx", "net.prototxt", "net.cfg", "saved_model.pb", "variables/x", "a-symbol.json", "m.meta"],
    *["m.data-00000-of-99999", "m.index", "archive/data.pkl", "archive/constants.pkl", "../m.onnx", "/m"],
]
NAMES = st.text(st.sampled_from("ab./\\:\0 \n-_é"), max_size=12) | st.sampled_from(KNOWN_NAMES)
FORMATS = st.sampled_from([*sources.WHOLE])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Format -> all files of a model of it, the first of them in the model's folder."""
    made = {}
    for name in sources.WHOLE:
        path = sources.copy(name, tmp_path_factory.mktemp(name) / "model")
        folder = path if path.is_dir() else path.parent
        made[name] = sorted(file for file in folder.rglob("*") if file.is_file())
    return made


@contextmanager
def staging() -> Iterator[Path]:
    """A folder that is to be written in, in one where nothing else may change."""
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        yield outer / "in"
        assert {path.name for path in outer.iterdir()} <= {"in", "out"}


def survive(path: Path) -> None:
    """Analyse and unpack what lies there; a fault is a fine answer, another exception is not."""
    before = {file: file.stat().st_size for file in path.parent.rglob("*")}
    try:
        analyze.show([path], Screen(), as_json=True)
    except Fault as fault:
        assert fault.code.startswith(CODES), fault
        assert fault.message and fault.hint
    with suppress(Fault):
        unpack(recognise([path]), path.parent.parent / "out")
    assert before == {file: file.stat().st_size for file in path.parent.rglob("*")}


@FUZZ
@given(
    content=st.binary(max_size=400),
    name=st.sampled_from(["m", "m.onnx", "m.pt", "m.cfg", "m.index", "m.zip"]),
)
def test_random_bytes(content: bytes, name: str) -> None:
    with staging() as folder:
        folder.mkdir()
        (folder / name).write_bytes(content)
        survive(folder / name)


@settings(FUZZ, max_examples=25)
@pytest.mark.parametrize("name", sources.WHOLE)
@given(data=st.data())
def test_damaged_files(whole: dict[str, list[Path]], name: str, data: st.DataObject) -> None:
    with staging() as folder:
        root = whole[name][0].parent
        shutil.copytree(root, folder)
        victim = folder / data.draw(st.sampled_from(whole[name])).relative_to(root)
        victim.write_bytes(damaged(victim.read_bytes(), data))
        survive(folder)


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """The content cut off, or with some bytes replaced, or both."""
    places = data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6))
    changed = bytearray(content)
    for place, value in places:
        changed[place] = value
    length = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    return bytes(changed[:length])


@FUZZ
@given(members=st.lists(st.tuples(NAMES, FORMATS, st.integers(0, 1 << 32)), max_size=5))
def test_zips_with_any_names_and_modes(
    whole: dict[str, list[Path]], members: list[tuple[str, str, int]]
) -> None:
    with staging() as folder:
        folder.mkdir()
        with zipfile.ZipFile(folder / "m.zip", "w") as archive:
            for name, kind, attributes in members:
                info = zipfile.ZipInfo("x")
                info.filename, info.external_attr = name, attributes & 0xFFFFFFFF
                with catch_warnings(action="ignore"):  # names that are there twice
                    archive.writestr(info, whole[kind][0].read_bytes())
        survive(folder / "m.zip")


@FUZZ
@given(name=FORMATS, data=st.data())
def test_damaged_zips(whole: dict[str, list[Path]], name: str, data: st.DataObject) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in whole[name]:
            archive.write(file, file.name)
    with staging() as folder:
        folder.mkdir()
        (folder / "m.zip").write_bytes(damaged(content.getvalue(), data))
        survive(folder / "m.zip")
