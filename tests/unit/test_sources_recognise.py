"""One model comes out of what a user names, by content, or a fault that says what is missing or too much."""

import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from host.sources.fingerprint import fingerprint
from host.sources.parts import files_of
from host.sources.readers import READERS
from host.sources.recognition.archives import unpack
from host.sources.recognition.contents import Part, identify
from host.sources.recognition.entries import on_disk
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from shared import chips
from shared.faults import Fault
from tests import models, sources

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [name for name, files in sources.WHOLE.items() if len(files) > 1]


def refused(paths: Sequence[Path], code: str, *words: str) -> None:
    with pytest.raises(Fault) as caught:
        recognise(paths)
    fault = caught.value
    assert fault.code == code, fault.message
    assert all(word in f"{fault.message} {fault.hint}" for word in words), (fault.message, fault.hint)


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def same(files: Source, other: Source) -> bool:
    return {role: path.name for role, path in files.files.items()} == {
        role: path.name for role, path in other.files.items()
    }


def test_every_format_of_the_table_has_a_model_here() -> None:
    assert set(sources.WHOLE) == set(chips.formats())


@pytest.mark.parametrize("name", sources.WHOLE)
def test_a_model_is_the_same_by_its_file_its_folder_and_its_zip(tmp_path: Path, name: str) -> None:
    path = sources.copy(name, tmp_path / "model")
    source = recognise([path])
    assert source.format == name and source.archive is None
    assert [file.name for file in source.files.values()] == [*sources.WHOLE[name]]
    assert recognise([path.parent]) == source
    assert recognise(list(source.files.values())) == source
    packed = recognise([zipped(tmp_path / "model", tmp_path / "model.zip")])
    assert packed.archive == tmp_path / "model.zip" == packed.main
    assert packed.format == name and same(packed, source)
    deeper = recognise([zipped(tmp_path / "model", tmp_path / "deeper.zip")])
    whole = unpack(deeper, tmp_path / "out")
    assert whole.archive is None and same(whole, source)
    assert [p.read_bytes() for p in files_of(whole).values()] == [
        p.read_bytes() for p in files_of(source).values()
    ]
    assert fingerprint(whole) == fingerprint(source)


@pytest.mark.parametrize("name", [name for name in sources.WHOLE if name in READERS])
def test_its_reader_takes_what_was_recognised(tmp_path: Path, name: str) -> None:
    told = READERS[name](recognise([sources.copy(name, tmp_path)]).files)
    assert told.inputs and told.outputs and told.operators


@pytest.mark.parametrize("name", ["onnx", "tflite", "torchscript", "pytorch", "tensorflow", "keras"])
def test_the_extension_does_not_matter(tmp_path: Path, name: str) -> None:
    path = sources.copy(name, tmp_path / "as it is")
    for other in ("m.bin", "m.onnx", "m.cfg", "no extension"):
        assert recognise([shutil.copyfile(path, tmp_path / other)]).format == name


@pytest.mark.parametrize("name", PAIRS)
def test_each_file_of_several_finds_the_others_and_misses_them(tmp_path: Path, name: str) -> None:
    sources.copy(name, tmp_path)
    whole = recognise([tmp_path])
    for path in whole.files.values():
        assert recognise([path]) == whole
        assert recognise([other for other in whole.files.values() if other != path]) == whole
    for path in whole.files.values():
        rest = [other for other in whole.files.values() if other != path]
        content = path.read_bytes()
        path.unlink()
        for start in ([rest[0]], rest, [tmp_path]):
            refused(start, "model-data-missing", path.name.removeprefix("net")[-8:])
        path.write_bytes(content)


def test_companions_are_found_by_name_else_the_only_one_else_the_one_for_use(tmp_path: Path) -> None:
    net = sources.copy("caffe", tmp_path)
    weights = net.with_suffix(".caffemodel")
    net.rename(tmp_path / "other.prototxt.txt")
    assert recognise([weights]).files["prototxt"].name == "other.prototxt.txt"
    shutil.copyfile(tmp_path / "other.prototxt.txt", tmp_path / "train_val.prototxt")
    refused([weights], "bad-option", "other.prototxt.txt, train_val.prototxt")
    assert (
        recognise([weights, tmp_path / "train_val.prototxt"]).files["prototxt"].name == "train_val.prototxt"
    )
    shutil.copyfile(tmp_path / "other.prototxt.txt", tmp_path / "my_deploy.prototxt")
    assert recognise([weights]).files["prototxt"].name == "my_deploy.prototxt"
    shutil.copyfile(tmp_path / "other.prototxt.txt", tmp_path / "net.prototxt.txt")
    assert recognise([tmp_path]).files["prototxt"].name == "net.prototxt.txt"


def test_files_named_together_belong_together_wherever_they_lie(tmp_path: Path) -> None:
    net = sources.copy("darknet", tmp_path / "a")
    weights = shutil.move(net.with_suffix(".weights"), tmp_path / "b.weights")
    source = recognise([Path(weights), net])
    assert source == Source("darknet", {"cfg": net, "weights": Path(weights)})
    assert source.main == Path(weights)


def test_old_caffe_weights_are_told_too(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(sources.caffemodel(old=True))
    assert identify(on_disk(tmp_path / "w")) == Part("caffe", "caffemodel")


def test_several_models_are_listed(tmp_path: Path) -> None:
    for name in ("onnx", "tflite", "tf-checkpoint"):
        sources.copy(name, tmp_path)
    refused([tmp_path], "bad-option", "model.ckpt.index", "net.onnx", "net.tflite", "Name one")
    refused([tmp_path / "net.onnx", tmp_path / "net.tflite"], "bad-option", "net.onnx, net.tflite")
    refused([zipped(tmp_path, tmp_path.parent / "m.zip")], "bad-option", "net.tflite")
    refused([tmp_path, tmp_path / "net.onnx"], "bad-option", "folder")


def test_a_tensorflow_checkpoint_is_called_by_its_prefix(tmp_path: Path) -> None:
    meta = sources.copy("tf-checkpoint", tmp_path)
    assert recognise([tmp_path / "model.ckpt"]) == recognise([meta])


def test_a_checkpoint_in_shards_needs_them_all(tmp_path: Path) -> None:
    meta = sources.copy("tf-checkpoint", tmp_path)
    first = tmp_path / "model.ckpt.data-00000-of-00002"
    (tmp_path / "model.ckpt.data-00000-of-00001").rename(first)
    refused([meta], "model-data-missing", "model.ckpt.data-00001-of-00002")
    shutil.copyfile(first, tmp_path / "model.ckpt.data-00001-of-00002")
    assert [*recognise([meta]).files] == ["meta", "data", "data1", "index"]


def test_tensorflow_2_checkpoints_are_told_what_to_do(tmp_path: Path) -> None:
    sources.copy("tf-checkpoint", tmp_path).unlink()
    refused([tmp_path], "model-data-missing", "model.ckpt.meta", "SavedModel")


def test_a_saved_model_is_its_folder_whatever_else_lies_there(tmp_path: Path) -> None:
    folder = sources.copy("savedmodel", tmp_path)
    shutil.copyfile(sources.DATA / "net.tflite", folder / "net.tflite")
    source = recognise([folder])
    assert source == recognise([folder / "saved_model.pb"])
    assert "net.tflite" not in files_of(source)


def test_a_saved_model_at_the_top_of_a_zip(tmp_path: Path) -> None:
    folder = sources.copy("savedmodel", tmp_path)
    source = unpack(recognise([zipped(folder, tmp_path / "m.zip")]), tmp_path / "out")
    assert files_of(source).keys() == files_of(recognise([folder])).keys()


@pytest.mark.parametrize("name", ["weights.pth", "weights-legacy.pth"])
def test_weights_alone_are_told_what_to_do(tmp_path: Path, name: str) -> None:
    path = shutil.copyfile(sources.DATA / name, tmp_path / name)
    refused([path], "model-format", "state dict", "TorchScript")
    source = recognise([zipped(tmp_path, tmp_path.parent / f"{name}.zip")])
    with pytest.raises(Fault, match="state dict"):
        unpack(source, tmp_path / "out")


def test_old_checkpoints_with_the_network_are_taken(tmp_path: Path) -> None:
    assert recognise([shutil.copyfile(sources.DATA / "whole-legacy.pt", tmp_path / "m")]).format == "pytorch"


def test_keras_in_its_newer_form(tmp_path: Path) -> None:
    assert recognise([shutil.copyfile(sources.DATA / "net.keras", tmp_path / "m")]).format == "keras"


def test_external_data_comes_with_its_model(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    proto = models.conv(4)
    proto.graph.initializer[0].CopyFrom(weight)
    (tmp_path / "m" / "in").mkdir(parents=True)
    path = tmp_path / "m" / "in" / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert recognise([path, path.with_name("net.data")]) == recognise([path])
    shutil.copyfile(path.with_name("net.data"), path.with_name("unused.data"))
    source = recognise([zipped(tmp_path / "m", tmp_path / "m.zip")])
    made = unpack(source, tmp_path / "out")
    assert [*files_of(made)] == ["model", "net.data"]
    assert sorted(file.name for file in (tmp_path / "out").rglob("*.*")) == ["net.data", "net.onnx"]
    path.with_name("net.data").unlink()
    source = recognise([zipped(tmp_path / "m", tmp_path / "incomplete.zip")])
    with pytest.raises(Fault, match=r"incomplete\.zip lacks 'in/net\.data'"):
        unpack(source, tmp_path / "again")
    with pytest.raises(Fault) as caught:
        READERS["onnx"](recognise([path]).files)
    assert caught.value.code == "model-data-missing"


@pytest.mark.parametrize(
    ("name", "content", "code", "word"),
    [
        ("m.onnx", b"", "model-invalid", "empty"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\noid 0", "model-invalid", "git lfs pull"),
        ("m.onnx", b"\n<!DOCTYPE html><html>", "model-invalid", "HTML"),
        ("m.json", b'{"error": "not found"}', "model-invalid", "JSON"),
        ("m.xml", b'<?xml version="1.0"?>\n<net name="n" version="11">', "model-format", "OpenVINO"),
        ("m.onnx", b"not a model at all", "model-invalid", "does not read as ONNX"),
        ("m.tflite", b"\x1c\0\0\0TFL2", "model-invalid", "does not read as TensorFlow Lite"),
        ("m.prototxt.txt", b"nothing: 1", "model-invalid", "Caffe"),
        ("solver.prototxt", b'net: "n.prototxt"\nbase_lr: 0.1\n', "model-format", "deploy.prototxt"),
        ("m.rknn", b"RKNN\0\0\0\0", "model-format", "invoke inspect"),
        ("m.pt", b"\x80\x02}q\0.", "model-format", "pickle"),
        ("m.pt", b"PK\x03\x04 no zip", "model-invalid", "damaged zip"),
        ("m.safetensors", struct.pack("<Q", 2) + b'{"a":1}', "model-format", "without their network"),
        ("m.ort", b"\x1c\0\0\0ORTM", "model-format", "ONNX Runtime"),
        ("m.tar.gz", b"\x1f\x8b\x08", "model-format", "Unpack"),
        ("m.mlmodel", b"\x08\x04\x12\x00\xa2\x1f\x02\x08\x01", "model-format", "Core ML"),
        ("m.bin", b"\1\2\3\4", "model-format", "Nothing"),
        ("m.prototxt", b"\n" * 20_000, "model-invalid", "Caffe"),
        ("m.prototxt", b"layer" + b" " * 20_000, "model-invalid", "Caffe"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, name: str, content: bytes, code: str, word: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused([tmp_path / name], code, name, word)


def test_nothing_there(tmp_path: Path) -> None:
    refused([], "model-missing")
    refused([tmp_path / "none.onnx"], "model-missing", "none.onnx")
    refused([tmp_path], "model-missing", "no model in")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / ".hidden.onnx").write_bytes(b"x")
    refused([tmp_path], "model-missing", "no model in")
    (tmp_path / "m.rknn").write_bytes(b"RKNN")
    refused([tmp_path], "model-format", "m.rknn")


def test_half_a_gigabyte_is_told_by_its_ends(tmp_path: Path) -> None:
    """A file that is mostly a hole: reading it all would show in the number of bytes read."""
    code = (
        "import sys, pathlib; from host.sources.recognition.recognise import recognise; "
        "before = int(open('/proc/self/io').read().split()[1]); "
        "assert recognise([pathlib.Path(sys.argv[1])]).format == sys.argv[2]; "
        "print(int(open('/proc/self/io').read().split()[1]) - before); "
        "sys.exit(any(name in sys.modules for name in ('onnx', 'numpy', 'h5py', 'tflite')))"
    )
    graph = models.conv().graph.SerializeToString() + b"\x2a" + sources.varint(499 << 20)  # a tensor
    (tmp_path / "onnx").write_bytes(b"\x08\x08\x3a" + sources.varint(500 << 20) + graph)
    shutil.copyfile(sources.copy("tflite", tmp_path / "lite"), tmp_path / "tflite")
    for name in ("onnx", "tflite"):
        path = tmp_path / name
        os.truncate(path, 500 << 20)
        command = [sys.executable, "-c", code, str(path), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 10 << 20
