"""A model's fingerprint covers all its bytes, wherever they are, and costs no model library."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_tensor_value_info

from host.sources.fingerprint import fingerprint
from host.sources.source import Source
from shared.faults import Fault


def save(path: Path, external: bool) -> Path:
    value = make_tensor_value_info("x", TensorProto.FLOAT, [64])
    weight = numpy_helper.from_array(np.arange(64, dtype=np.float32), "w")
    graph = make_graph(
        [make_node("Add", ["x", "w"], ["y"])],
        "g",
        [value],
        [make_tensor_value_info("y", TensorProto.FLOAT, [64])],
        [weight],
    )
    onnx.save(make_model(graph), path, save_as_external_data=external, location="w.bin", size_threshold=0)
    return path


def onnx_source(path: Path) -> Source:
    return Source("onnx", {"model": path})


def test_single_file_is_its_sha256(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", external=False)
    assert fingerprint(onnx_source(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_external_data_is_part_of_it(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", external=True)
    before = fingerprint(onnx_source(path))
    assert before == fingerprint(onnx_source(path))
    data = bytearray((tmp_path / "w.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "w.bin").write_bytes(data)
    assert fingerprint(onnx_source(path)) != before
    (tmp_path / "w.bin").unlink()
    with pytest.raises(Fault, match=r"w\.bin"):
        fingerprint(onnx_source(path))


def test_no_model_library_is_imported(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", external=False)
    code = (
        "import sys; from pathlib import Path; from host.sources.fingerprint import fingerprint; "
        "from host.sources.recognition.recognise import recognise; "
        "fingerprint(recognise([Path(sys.argv[1])])); sys.exit('onnx' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=Path(__file__).parents[2])


def test_pairs_and_folders_count_whole_wherever_they_lie(tmp_path: Path) -> None:
    marks = set()
    for place, flipped in (("a", False), ("b", False), ("c", True)):
        folder = tmp_path / place
        (folder / "variables").mkdir(parents=True)
        files = {role: folder / f"net.{role}" for role in ("cfg", "weights")}
        files["cfg"].write_text("[net]\n")
        files["weights"].write_bytes(b"1" if flipped else b"0")
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "v").write_bytes(b"1" if flipped else b"0")
        (folder / "other.tflite").write_text(place)  # belongs to another export
        marks.add(fingerprint(Source("darknet", files)))
        marks.add(fingerprint(Source("savedmodel", {"folder": folder})))
    assert len(marks) == 4


def test_an_archive_is_its_own_sha256(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(b"PK")
    source = Source("onnx", {"model": Path("m.onnx")}, path)
    assert fingerprint(source) == hashlib.sha256(b"PK").hexdigest()
