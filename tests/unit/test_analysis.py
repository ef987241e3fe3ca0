"""`invoke analyze` says what a model is and who can take it, for people and as one document."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from host.commands import analyze
from host.console import Screen
from host.sources.readers import READERS
from shared import chips
from shared.faults import Fault
from tests import models, sources


def show(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert analyze.show([path], Screen(), as_json=True) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["status"] == "ok"
    found: dict[str, Any] = document["analysis"]
    return found


def text(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert analyze.show([path], Screen(), as_json=False) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", sources.WHOLE)
def test_every_format_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sources.copy(name, tmp_path)
    told = show(path, capsys)
    assert told["format"] == name and told["title"] == chips.formats()[name].title
    assert told["size"] > 100 and told["archive"] is None
    if name in READERS:
        assert told["inputs"] and told["outputs"] and told["operators"]
    assert {each["toolkit"] for each in told["routes"]} == set(chips.toolkits())
    ways = {each["toolkit"]: bool(each["ways"]) for each in told["routes"]}
    for kit in chips.toolkits().values():
        assert ways[kit.name] >= bool(chips.reading(kit, name))
    assert text(path, capsys).startswith(f"{told['model']}: {told['title']}")


def test_an_onnx_model_is_told_in_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = models.save(models.conv(4, ("batch", 3, 8, 8)), tmp_path / "net.onnx")
    told = show(path, capsys)
    assert told["inputs"] == [{"name": "x", "shape": ["batch", 3, 8, 8], "dtype": "float32"}]
    assert (told["version"], told["parameters"]) == ("opset 13, IR 8", 4 * 3 * 9)
    assert told["operators"] == {"Conv": 1, "Relu": 1}
    assert all(way["by"] == "onnx" for each in told["routes"] for way in each["ways"])
    out = text(path, capsys)
    for line in ("ONNX, opset 13, IR 8", "108 parameters", "x float32 [batch, 3, 8, 8]", "Conv 1, Relu 1"):
        assert line in out
    assert "rk3588" in out and "as it is" in out and "custom" not in out


def test_operators_that_no_toolkit_takes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [make_node("Odd", ["x"], ["o"], domain="com.example"), make_node("NonZero", ["o"], ["y"])]
    told = show(models.save(models.model(nodes, (4, "n")), tmp_path / "net.onnx"), capsys)
    assert told["custom_operators"] == ["com.example.Odd"] and told["operators"]["com.example.Odd"] == 1
    assert any("NonZero" in each["refused_operators"] for each in told["routes"])
    out = text(tmp_path / "net.onnx", capsys)
    assert "com.example.Odd" in out and "NonZero: the size of its output" in out


def test_functions_and_inner_graphs_count_by_what_they_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What PyTorch's exporter writes as local functions is no custom operator."""
    proto = models.model([make_node("Twice", ["x"], ["y"], domain="local")], (1, 3, 32, 32))
    function = onnx.helper.make_function(
        *("local", "Twice", ["a"], ["b"], [make_node("Add", ["a", "a"], ["b"])]),
        opset_imports=[onnx.helper.make_opsetid("", 13)],
    )
    proto.functions.append(function)
    told = show(models.save(proto, tmp_path / "net.onnx"), capsys)
    assert told["operators"] == {"Add": 1} and told["custom_operators"] == []


def test_a_checkpoint_tells_what_its_pickle_would_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = show(sources.copy("pytorch", tmp_path), capsys)
    assert "torch.nn.modules.conv.Conv2d" in told["pickle"]["globals"]
    assert told["pickle"]["refused"] == []
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", b"\x80\x02cposix\nsystem\n(X\x02\0\0\0lstR.")
    assert "posix.system" in show(tmp_path / "evil.pt", capsys)["pickle"]["refused"]
    assert "posix.system" in text(tmp_path / "evil.pt", capsys)


def test_a_model_in_a_zip_is_told_like_one_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sources.copy("caffe", tmp_path / "net")
    shutil.make_archive(str(tmp_path / "m"), "zip", tmp_path / "net")
    inside, outside = show(tmp_path / "m.zip", capsys), show(path, capsys)
    assert inside["archive"] == inside["model"] == str(tmp_path / "m.zip")
    assert inside["files"] == {"prototxt": "net.prototxt", "caffemodel": "net.caffemodel"}
    different = ("archive", "model", "files")
    for facts in (inside, outside):
        for key in different:
            del facts[key]
    assert inside == outside


def test_missing_external_data_is_refused(tmp_path: Path) -> None:
    proto = models.conv()
    tensor = onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    proto.graph.initializer[0].CopyFrom(tensor)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(Fault) as caught:
        analyze.show([tmp_path / "m.onnx"], Screen(), as_json=False)
    assert caught.value.code == "model-data-missing"
