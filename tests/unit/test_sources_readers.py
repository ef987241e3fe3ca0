"""What files tell of a model without running it, and which of them are refused."""

import json
import random
import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.sources.readers import READERS, prototxt
from host.sources.recognition.recognise import recognise
from host.sources.source import Interface
from shared.faults import Fault
from tests import sources

NATIVE = Path(__file__).parents[1] / "data" / "native"
HEADER = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }'
)
CONVOLUTION = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 4 kernel_size: 3 } }"
)


def read(name: str, folder: Path) -> Interface:
    return READERS[name](recognise([sources.copy(name, folder)]).files)


def refused(name: str, files: Mapping[str, Path], code: str) -> str:
    with pytest.raises(Fault) as caught:
        READERS[name](files)
    assert caught.value.code == code, caught.value
    return f"{caught.value.message} {caught.value.hint}"


def blob(*shape: int) -> Any:
    made = prototxt.SCHEMA["BlobProto"]()
    made.shape.dim.extend(shape)
    made.data = np.ones(shape, "<f4").tobytes()
    return made


def caffe(folder: Path, text: str, layers: Mapping[str, list[Any]]) -> dict[str, Path]:
    files = {"prototxt": folder / "net.prototxt", "caffemodel": folder / "net.caffemodel"}
    files["prototxt"].write_text(text)
    net = prototxt.SCHEMA["NetParameter"]()
    for name, blobs in layers.items():
        net.layer.add(name=name).blobs.extend(blobs)
    files["caffemodel"].write_bytes(net.SerializeToString())
    return files


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "parameters"),
    [
        ("onnx", [("x", (1, 3, 8, 8))], ["y"], 108),
        ("tflite", [("serving_default_image:0", (1, 8, 8, 3))], ["StatefulPartitionedCall:0"], 112),
        ("torchscript", [("input", (1, 3, 8, 8))], ["output_0"], 112),
        ("caffe", [("data", (1, 3, 8, 8))], ["conv"], 112),
        ("darknet", [("image", (1, 3, 8, 8))], ["conv_0"], 112),
        ("tensorflow", [("image", (1, 8, 8, 3))], ["features"], 108),
        ("savedmodel", [("image", (1, 8, 8, 3))], ["output_0"], None),
        ("tf-checkpoint", [("image", (1, 8, 8, 3))], ["features"], None),
        ("keras", [("input_1", ("?", 8, 8, 3))], ["conv2d"], None),
        ("mxnet", [("data", ())], ["conv"], 112),
    ],
)
def test_a_small_model_of_every_format(
    name: str, inputs: list[Any], outputs: list[str], parameters: int | None, tmp_path: Path
) -> None:
    told = read(name, tmp_path)
    assert [(port.name, port.shape) for port in told.inputs] == inputs
    assert [port.name for port in told.outputs][:1] == outputs
    assert told.parameters == parameters
    assert any("conv" in operator.lower() for operator in told.operators)
    assert all(port.channels_last == (port.shape[-1:] == (3,)) for port in told.inputs)


def test_every_format_but_pickles_has_a_reader() -> None:
    assert {*sources.WHOLE} - {*READERS} == {"pytorch"}


def test_caffe_of_both_versions_tells_the_same(tmp_path: Path) -> None:
    new = sources.copy("caffe", tmp_path)
    files = {"prototxt": new, "caffemodel": new.with_suffix(".caffemodel")}
    told = READERS["caffe"](files)
    old = new.read_text().replace("layer {", "layers {").replace('"Convolution"', "CONVOLUTION")
    old = old.replace("input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }", "input_dim: [1, 3, 8, 8]")
    files["prototxt"].write_text(old)
    files["caffemodel"].write_bytes(sources.caffemodel(old=True))
    assert READERS["caffe"](files) == told


def test_caffe_layers_for_training_do_not_count(tmp_path: Path) -> None:
    training = 'layer { name: "l" type: "Data" top: "data" include { phase: TRAIN } }'
    text = f"{HEADER}\n{training}\n{CONVOLUTION}\n{CONVOLUTION.replace('conv', 'other')} "
    text = text.replace('name: "other"', 'name: "other" exclude { phase: TEST }')
    told = READERS["caffe"](caffe(tmp_path, text, {"conv": [blob(4, 3, 3, 3), blob(4)]}))
    assert told.operators == {"Convolution": 1}
    assert [port.name for port in told.outputs] == ["conv"]


@pytest.mark.parametrize(
    ("layers", "code", "told"),
    [
        ({"other": [blob(4, 3, 3, 3), blob(4)]}, "model-data-missing", "lacks the weights of 1 of 1"),
        ({"conv": [blob(4, 3, 3, 3)]}, "model-data-missing", "'conv'"),
        ({}, "model-data-missing", "holds no weights"),
        ({"conv": [blob(5, 3, 3, 3), blob(5)]}, "model-weights", "135 numbers"),
        ({"conv": [blob(4, 3, 1, 1), blob(4)]}, "model-weights", "12 numbers"),
    ],
)
def test_caffe_weights_that_would_become_random_are_refused(
    layers: dict[str, list[Any]], code: str, told: str, tmp_path: Path
) -> None:
    assert told in refused("caffe", caffe(tmp_path, f"{HEADER}\n{CONVOLUTION}", layers), code)


def test_caffe_weights_that_are_no_finite_floats_are_refused(tmp_path: Path) -> None:
    half, short, nan = blob(4, 3, 3, 3), blob(4, 3, 3, 3), blob(4, 3, 3, 3)
    half.raw_data, half.data = half.data, b""
    short.data = short.data[:-4]
    nan.data = np.full((4, 3, 3, 3), np.nan, "<f4").tobytes()
    for wrong, told in ((half, "32-bit floats"), (short, "107 numbers"), (nan, "not all finite")):
        files = caffe(tmp_path, f"{HEADER}\n{CONVOLUTION}", {"conv": [wrong, blob(4)]})
        assert told in refused("caffe", files, "model-weights")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layer {", "does not read as a Caffe prototxt"),
        ("name: 'nothing'", "no layers"),
        ('layer { name: "d" type: "Data" top: "data" }\n' + CONVOLUTION, "reads a data set"),
        ('input: "data"\n' + CONVOLUTION, "1 inputs and 0 shapes"),
    ],
)
def test_prototxt_that_cannot_be_used_is_refused(text: str, told: str, tmp_path: Path) -> None:
    files = caffe(tmp_path, text, {"conv": [blob(4, 3, 3, 3), blob(4)]})
    assert told in refused("caffe", files, "model-invalid")


def test_constant_branches_and_consumed_blobs_are_no_outputs(tmp_path: Path) -> None:
    text = "\n".join(
        (
            HEADER,
            CONVOLUTION,
            'layer { name: "r" type: "ReLU" bottom: "conv" top: "conv" }',
            'layer { name: "prior" type: "PriorBox" bottom: "conv" bottom: "data" top: "prior" }',
            'layer { name: "p" type: "Pooling" bottom: "conv" top: "pool" }',
            'layer { name: "s" type: "Silence" bottom: "pool" }',
            'layer { name: "t" type: "TanH" bottom: "conv" top: "tanh" }',
        )
    )
    told = READERS["caffe"](caffe(tmp_path, text, {"conv": [blob(4, 3, 3, 3), blob(4)]}))
    assert [port.name for port in told.outputs] == ["tanh"]


def test_tflite_in_integers_is_seen() -> None:
    file = NATIVE / "int8.tflite"
    told = READERS["tflite"]({"model": file})
    assert told.quantized
    assert not READERS["tflite"]({"model": sources.DATA / "net.tflite"}).quantized
    assert told.inputs[0].shape == ("?", 8, 8, 3)
    assert told.operators["CONV_2D"] == 1


def test_torchscript_of_two_inputs_has_the_shapes_of_its_example() -> None:
    told = READERS["torchscript"]({"model": NATIVE / "two.pt"})
    assert [(port.name, port.shape) for port in told.inputs] == [
        ("left", (1, 3, 8, 8)),
        ("right", (1, 4, 8, 8)),
    ]
    assert len(told.outputs) == 2


def test_torchscript_without_an_example_leaves_shapes_open() -> None:
    told = READERS["torchscript"]({"model": NATIVE / "no-example.pt"})
    assert [(port.name, port.shape) for port in told.inputs] == [("input", ())]
    assert told.parameters == 112


def test_torchscript_whose_inputs_are_no_tensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.pt"
    with zipfile.ZipFile(NATIVE / "two.pt") as original, zipfile.ZipFile(file, "w") as changed:
        for name in original.namelist():
            changed.writestr(name, original.read(name).replace(b"left: Tensor", b"left: List[Tensor]"))
    assert "'left' of `forward` is List[Tensor]" in refused("torchscript", {"model": file}, "model-op")


def test_pickle_is_walked_through_and_not_loaded(tmp_path: Path) -> None:
    """An archive whose pickle would run a command when loaded: it does not."""
    trap, file = tmp_path / "ran", tmp_path / "trap.pt"
    with zipfile.ZipFile(NATIVE / "two.pt") as original, zipfile.ZipFile(file, "w") as changed:
        for name in original.namelist():
            data = original.read(name)
            if name.endswith("/data.pkl"):
                data = data[:-1] + b"cos\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR0."
            changed.writestr(name, data)
    told = READERS["torchscript"]({"model": file})
    assert told.parameters == 112
    assert not trap.exists()


def test_unfrozen_graph_is_refused_with_what_to_do() -> None:
    text = refused("tensorflow", {"model": NATIVE / "variables.pb"}, "model-data-missing")
    assert "'weight' (VarHandleOp)" in text and "Freeze" in text and "SavedModel" in text


def test_savedmodel_without_its_variables_is_refused(tmp_path: Path) -> None:
    folder = sources.copy("savedmodel", tmp_path)
    shutil.rmtree(folder / "variables")
    assert "variables.index" in refused("savedmodel", {"folder": folder}, "model-data-missing")


def test_keras_weights_alone_are_refused(tmp_path: Path) -> None:
    path = sources.copy("keras", tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"class_name"', b'"class_nome"'))
    assert "model.save(PATH)" in refused("keras", {"model": path}, "model-data-missing")


def test_keras_zip_tells_what_its_hdf5_tells() -> None:
    told = READERS["keras"]({"model": sources.DATA / "net.keras"})
    assert told.version.startswith("Keras ")
    assert [(port.shape, port.channels_last) for port in told.inputs] == [(("?", 8, 8, 3), True)]


def test_mxnet_params_of_another_network_are_refused(tmp_path: Path) -> None:
    symbol = sources.copy("mxnet", tmp_path)
    files = {"symbol": symbol, "params": tmp_path / "net-0000.params"}
    graph = json.loads(symbol.read_text())
    for node, name in zip(graph["nodes"], ("data", "fc_weight", "conv_bias"), strict=False):
        node["name"] = name
    symbol.write_text(json.dumps(graph))
    assert "'fc_weight'" in refused("mxnet", files, "model-data-missing")
    symbol.write_text(symbol.read_text().replace("conv_bias", "fc_bias"))
    assert "none of the weights" in refused("mxnet", files, "model-data-missing")


def test_darknet_weights_of_another_length_are_refused(tmp_path: Path) -> None:
    cfg = sources.copy("darknet", tmp_path)
    weights = cfg.with_suffix(".weights")
    weights.write_bytes(weights.read_bytes() + struct.pack("<f", 0))
    refused("darknet", {"cfg": cfg, "weights": weights}, "model-weights")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Mapping[str, Path], list[Path]]]:
    """Format -> its files by role, and all that they are."""
    made = {}
    for name in READERS:
        folder = tmp_path_factory.mktemp(name)
        files = recognise([sources.copy(name, folder)]).files
        made[name] = (files, sorted(path for path in folder.rglob("*") if path.is_file()))
    return made


@given(name=st.sampled_from([*READERS]), seed=st.integers(0, 2**32))
@settings(
    deadline=None,
    max_examples=600,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_damaged_files_end_in_a_fault_or_an_answer(
    whole: dict[str, tuple[Mapping[str, Path], list[Path]]], name: str, seed: int
) -> None:
    files, paths = whole[name]
    chance = random.Random(seed)
    path = chance.choice(paths)
    good = path.read_bytes()
    bad = bytearray(good)
    for _ in range(chance.choice((0, 1, 1, 4))):
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
    path.write_bytes(bad[: chance.choice((len(bad), len(bad), chance.randrange(len(bad))))])
    try:
        told = READERS[name](files)
        assert all(isinstance(operator, str) for operator in told.operators)
    except Fault as fault:
        assert fault.code.startswith("model-")
    finally:
        path.write_bytes(good)
