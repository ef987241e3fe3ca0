"""What a pickle would import is found without loading it, and what no checkpoint needs is refused."""

import collections
import contextlib
import datetime
import io
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import pickles
from shared.faults import Fault

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
MODEL = b"cultralytics.nn.tasks\nDetectionModel\n"


class Calls:
    """Pickles into a call."""

    def __init__(self, called: Callable[..., Any], *arguments: Any) -> None:
        self.what = (called, arguments)

    def __reduce__(self) -> Any:
        return self.what


def test_plain_data_is_let_through() -> None:
    data = {
        "epoch": 3,
        "date": datetime.datetime(2026, 1, 1),
        "folder": Path("runs"),
        "names": collections.OrderedDict({0: "cat"}),
        "bytes": b"\xff",
        "set": {1},
        "array": np.arange(3.0),
        "scalar": np.float32(1),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL):  # the highest keeps arrays in another way
        names = pickles.globals_of(pickle.dumps(data, protocol))
        left = {"copy_reg._reconstructor", "copy_reg._reconstructor()"} if protocol < 2 else set()
        assert set(pickles.refused(names)) <= left | {"__builtin__.object"}
        assert "collections.OrderedDict" in names
        assert not pickles.holds_network(names) or protocol < 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Calls(os.system, "true"), "posix.system"),
        (Calls(eval, "1"), "eval"),
        (Calls(exec, "1"), "exec"),
        (Calls(getattr, Calls(__import__, "os"), "system"), "getattr"),
        (Calls(__import__, "os"), "__import__"),
        (Calls(subprocess.run, ["true"]), ".run"),
        (Calls(pickle.loads, b"N."), ".loads"),
        ([Calls(os.system, "true")] * 3, "posix.system"),
    ],
)
def test_calls_of_anything_else_are_refused(evil: Any, name: str, protocol: int) -> None:
    refused = pickles.refused(pickles.globals_of(pickle.dumps({"model": evil}, protocol)))
    assert any(each.endswith(name) for each in refused)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x80\x02" + MODEL + b"}\x85R.", id="constructor called"),
        pytest.param(b"(}i" + MODEL[1:] + b".", id="constructor called by INST"),
        pytest.param(b"(" + MODEL + b"}o.", id="constructor called by OBJ"),
        pytest.param(b"\x80\x02" + MODEL + b"}\x85\x81.", id="constructor given arguments by NEWOBJ"),
        pytest.param(b"\x80\x04" + MODEL + b")}\x92.", id="constructor given keywords"),
        pytest.param(b"\x80\x04\x8c\x0ctorch.nn.init\x8c\x05eval_\x93.", id="function beside the list"),
        pytest.param(b"\x80\x04\x8c\x11torch.nn.modules.\x8c\x09os.system\x93.", id="dotted name"),
        pytest.param(
            b"\x80\x04\x8c\x17torch.nn.modules.module\x8c\x0ftorch.os.system\x93.", id="through a module"
        ),
        pytest.param(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.", id="name from the memo"),
        pytest.param(b"\x80\x04\x8c\x05torch)\x93.", id="computed name"),
        pytest.param(b"cposix\nsystem\n(Vtrue\ntR\xff", id="damaged after the call"),
        pytest.param(b"cposix\nsystem\n(Vtrue\ntR", id="no end"),
        pytest.param(b"\x82\x01.", id="extension"),
        pytest.param(b"ctorch.nn.modules.linear\nLinear\n}b.", id="class changed"),
        pytest.param(b"ccollections\nOrderedDict\n)R)R.", id="result called"),
        pytest.param(b"ctorch.nn.modules.module\ntorch\n.", id="a module's import"),
        pytest.param(b"ctorch.nn.modules.activation\nF\n.", id="a module's short name for another"),
        pytest.param(b"ctorch.storage\n_load_from_bytes\n.", id="loads again"),
        pytest.param(b"ctorch._tensor\n_rebuild_from_type_v2\n.", id="calls its argument"),
        pytest.param(b"ctorch.fx.graph_module\nreduce_graph_module\n.", id="runs code"),
        pytest.param(b"ccopy_reg\n_reconstructor\n.", id="calls __init__"),
        pytest.param(b"ctorch.hub\nload\n.", id="downloads"),
        pytest.param(b"cultralytics.utils.checks\ncheck_requirements\n.", id="installs"),
        pytest.param(b"c__builtin__\ngetattr\n.", id="getattr alone"),
        pytest.param(b"]c__builtin__\ngetattr\na.", id="getattr in a list"),
        pytest.param(b"c__builtin__\ngetattr\n\x85.", id="getattr in a tuple"),
        pytest.param(b"c__builtin__\ngetattr\n(]Vx\ntR.", id="getattr of a value"),
        pytest.param(
            b"c__builtin__\ngetattr\n(" + MODEL + b"V__class__\ntR.", id="getattr of what is secret"
        ),
        pytest.param(b"h\x05.", id="nothing kept"),
        pytest.param(b"0.", id="empty stack"),
        pytest.param(b"(R.", id="call of a mark"),
        pytest.param(b"", id="empty"),
    ],
)
def test_every_way_round_the_list_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    write_zip(path, data)
    assert pickles.refused(pickles.checkpoint_globals(str(path)))
    path.write_bytes(data)
    assert pickles.refused(pickles.checkpoint_globals(str(path)))


def test_methods_that_checkpoints_ask_for_are_names() -> None:
    """YOLO11 keeps `Detect.forward`, which older pickles spell as a call of getattr."""
    head = b"cultralytics.nn.modules.head\nDetect\n"
    old = pickles.globals_of(b"\x80\x02c__builtin__\ngetattr\n" + head + b"X\x07\0\0\0forward\x86R.")
    new = pickles.globals_of(b"\x80\x04\x8c\x1bultralytics.nn.modules.head\x8c\x0eDetect.forward\x93.")
    assert "ultralytics.nn.modules.head:Detect.forward" in old
    assert "ultralytics.nn.modules.head:Detect.forward" in new
    assert not pickles.refused([*old, *new])


def test_empty_instances_are_no_calls() -> None:
    data = b"\x80\x02" + MODEL + b")\x81}X\x05\0\0\0modelccollections\nOrderedDict\n)Rsb."
    names = pickles.globals_of(data)
    assert names == ["ultralytics.nn.tasks.DetectionModel", "collections.OrderedDict"]
    assert pickles.refused(names) == [] and pickles.holds_network(names)


def test_fault_names_what_is_refused_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    write_zip(path, pickle.dumps(os.system))
    with pytest.raises(Fault, match=r"best\.pt.*posix\.system") as refused:
        pickles.check(str(path))
    assert refused.value.code == "pickle-refused"
    assert "--trust-pickle" in refused.value.hint


def test_all_pickles_of_a_stream_are_read() -> None:
    assert "posix.system" in pickles.globals_of(pickle.dumps(1) * 3 + pickle.dumps(os.system))


def write_zip(path: Path, *pickled: bytes, names: tuple[str, ...] = ("net/data.pkl",)) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in zip(names, pickled, strict=True):
            archive.writestr(name, data)
        archive.writestr("net/data/0", b"\0" * 64)


def test_every_pickle_of_an_archive_is_read(tmp_path: Path) -> None:
    """PyTorch's reader does not tell DATA.PKL from data.pkl."""
    path = tmp_path / "net.pt"
    write_zip(path, pickle.dumps({}), pickle.dumps(os.system), names=("net/data.pkl", "net/DATA.PKL"))
    assert pickles.refused(pickles.checkpoint_globals(str(path))) == ["posix.system"]


def test_archives_that_readers_understand_differently_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    write_zip(path, pickle.dumps({}))
    whole = path.read_bytes()
    assert pickles.checkpoint_globals(str(path)) == []
    size, offset = struct.unpack("<LL", whole[-10:-2])
    elsewhere = whole[:-10] + struct.pack("<LL", size, offset - 4) + whole[-2:]
    for data in (whole[:4] + b"more" + whole[4:], elsewhere, whole + whole[-22:], whole[:-2] + b"\1\0x"):
        path.write_bytes(data)
        assert pickles.refused(pickles.checkpoint_globals(str(path))), data


def test_tar_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    with tarfile.open(path, "w:") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    assert pickles.refused(pickles.checkpoint_globals(str(path)))


def test_older_format_is_five_pickles_and_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    layer = b"\x80\x02(X\x06\0\0\0modulectorch.nn.modules.linear\nLinear\n"
    layer += b"X\x04\0\0\0fileX\x04\0\0\0texttQ)\x81}b."
    path.write_bytes(
        MAGIC + pickle.dumps(1001) + pickle.dumps({}) + layer + pickle.dumps(["0"]) + b"\xff" * 99
    )
    assert pickles.checkpoint_globals(str(path)) == ["torch.nn.modules.linear.Linear"]
    path.write_bytes(MAGIC + pickle.dumps(os.system) + pickle.dumps({}) + layer + pickle.dumps(["0"]))
    assert pickles.refused(pickles.checkpoint_globals(str(path))) == ["posix.system"]


PLAIN = pickle.dumps({"a": [1, (2.0, "x")], "b": collections.OrderedDict(c={4}), "d": b"e"}, 2)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(1, 255)))
def test_noise_is_followed_or_refused(noise: bytes | tuple[int, int]) -> None:
    if isinstance(noise, tuple):
        noise = PLAIN[: noise[0]] + bytes([PLAIN[noise[0]] ^ noise[1]]) + PLAIN[noise[0] + 1 :]
    names = pickles.globals_of(noise)
    if pickles.refused(names):
        return
    imported: set[str] = set()

    class Watched(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            imported.add(f"{module}.{name}")
            return super().find_class(module, name)

    with contextlib.suppress(Exception):
        Watched(io.BytesIO(noise), fix_imports=False).load()
    assert imported <= set(names)
