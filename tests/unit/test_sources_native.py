"""What toolkits' own loaders are given: parts, sizes, nothing that they would turn into something else."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from host.sources.native import model as native
from host.sources.native.model import NativeSource
from host.sources.readers import prototxt
from host.sources.recognition.recognise import recognise
from host.sources.source import Source
from shared import chips
from shared.faults import Fault
from tests import sources

NATIVE = Path(__file__).parents[1] / "data" / "native"
TOOLKIT = chips.toolkit("toolkit2")
DETECTOR = """
name: "detector"  # a comment with a brace {
input: "data"
input_dim: 10 input_dim: 3
input_dim: 8
input_dim: 8
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } some_fork: 1 }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "box" type: "Flatten" bottom: "conv" top: "box" }
layer { name: "score" type: "Sigmoid" bottom: "conv" top: "score" }
layer { name: "prior" type: "PriorBox" bottom: "conv" bottom: "data" top: "prior" }
layer { name: "found" type: "DetectionOutput" bottom: "box" bottom: "score" bottom: "prior" top: "found" }
"""


def load(source: Source, folder: Path, toolkit: chips.Toolkit = TOOLKIT, **asked: Any) -> NativeSource:
    wanted = {"inputs": (), "outputs": (), "sizes": (), "size": None, **asked}
    return native.load(source, toolkit, **wanted, folder=folder / "rewritten")


def refused(code: str, source: Source, folder: Path, **asked: Any) -> str:
    with pytest.raises(Fault) as caught:
        load(source, folder, **asked)
    assert caught.value.code == code, caught.value.message
    return f"{caught.value.message} {caught.value.hint}"


def of(name: str, folder: Path) -> Source:
    return recognise([sources.copy(name, folder / "model")])


def file(name: str) -> Source:
    return recognise([NATIVE / name])


@pytest.fixture
def detector(tmp_path: Path) -> Source:
    """A Caffe detector of an older kind, its batch 10."""
    source = of("caffe", tmp_path)
    source.files["prototxt"].write_text(DETECTOR)
    return source


def layers(files: Mapping[str, Path]) -> list[str]:
    return [layer.name for layer in prototxt.read(files["prototxt"]).layers]


def test_caffe_detector_ends_before_the_boxes_are_sorted(detector: Source, tmp_path: Path) -> None:
    loaded = load(detector, tmp_path)
    assert [port.name for port in loaded.outputs] == ["box", "score"]
    assert loaded.inputs[0].shape == (1, 3, 8, 8)
    assert layers(loaded.source.files) == ["conv", "relu", "box", "score"]
    assert "some_fork: 1" in loaded.source.files["prototxt"].read_text()
    assert loaded.source.files["caffemodel"].read_bytes() == detector.files["caffemodel"].read_bytes()
    assert any("'found' (DetectionOutput)" in note for note in loaded.notes)
    assert any("batch fixed to 1" in note for note in loaded.notes)


def test_caffe_is_cut_where_the_user_says(detector: Source, tmp_path: Path) -> None:
    loaded = load(detector, tmp_path, inputs=("conv",), outputs=("score",), sizes=((1, 4, 6, 6),))
    assert layers(loaded.source.files) == ["relu", "score"]
    job = native.contract(loaded, {"prototxt": "in/model.prototxt", "caffemodel": "in/model.caffemodel"})
    assert (job.inputs, job.shapes, job.outputs) == (["conv"], [[1, 4, 6, 6]], ["score"])


def test_layer_that_the_toolkit_would_leave_out_is_refused(detector: Source, tmp_path: Path) -> None:
    text = detector.files["prototxt"].read_text()
    detector.files["prototxt"].write_text(text.replace('"Sigmoid"', '"ELU"'))
    assert "Operator ELU at 'score'" in refused("model-op", detector, tmp_path)
    assert load(detector, tmp_path, outputs=("box",)).outputs[0].name == "box"
    detector.files["prototxt"].write_text(text)
    assert "DetectionOutput" in refused("model-op", detector, tmp_path, outputs=("found",))


def test_caffe_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    source = of("caffe", tmp_path)
    text = source.files["prototxt"].read_text().replace("layer {", "layers { blobs_lr: 1 blobs_lr: 2")
    source.files["prototxt"].write_text(text.replace('type: "Convolution"', "type: CONVOLUTION"))
    source.files["caffemodel"].write_bytes(sources.caffemodel(old=True))
    loaded = load(source, tmp_path)
    assert "blobs_lr" not in loaded.source.files["prototxt"].read_text()
    assert "num_output: 4" in loaded.source.files["prototxt"].read_text()
    net = prototxt.SCHEMA["NetParameter"]()
    net.ParseFromString(loaded.source.files["caffemodel"].read_bytes())
    assert not net.layers
    assert [len(each.data) for each in net.layer[0].blobs] == [4 * 108, 4 * 4]


def test_layers_of_one_name_are_told_apart_by_their_phase(tmp_path: Path) -> None:
    source = of("caffe", tmp_path)
    text = source.files["prototxt"].read_text()
    training = text[text.index("layer {") :].replace("kernel_size: 3", "kernel_size: 5")
    training = training.replace('type: "Conv', 'include { phase: TRAIN } type: "Conv')
    source.files["prototxt"].write_bytes(text.encode() + training.encode() + "# 卷积".encode("gbk"))
    loaded = load(source, tmp_path)
    written = loaded.source.files["prototxt"].read_text()
    assert "kernel_size: 3" in written and "kernel_size: 5" not in written


def test_graph_with_loops_says_where_it_could_be_cut(tmp_path: Path) -> None:
    text = refused("model-op", file("loops.pb"), tmp_path)
    assert "control flow cannot be compiled" in text
    assert "--inputs ready" in text and "--outputs features" in text
    loaded = load(
        file("loops.pb"), tmp_path, inputs=("ready:0",), outputs=("features",), sizes=((1, 8, 8, 3),)
    )
    assert (loaded.inputs[0].name, loaded.inputs[0].channels_last) == ("ready", True)
    loaded = load(file("loops.pb"), tmp_path, inputs=("ready",), outputs=("features",), size=(16, 8))
    assert loaded.inputs[0].shape == (1, 8, 16, 3)
    assert "also needs the input 'image'" in refused(
        "bad-option", file("loops.pb"), tmp_path, inputs=("features",), outputs=("ready",)
    )


def test_unknown_tensors_are_answered_with_near_ones(detector: Source, tmp_path: Path) -> None:
    assert "features" in refused("bad-option", file("loops.pb"), tmp_path, outputs=("feature",))
    assert "score" in refused("bad-option", detector, tmp_path, outputs=("scores",))
    text = refused("bad-option", file("loops.pb"), tmp_path, outputs=("features:1",))
    assert "first output" in text


def test_traced_shapes_are_taken_and_missing_ones_asked_for(tmp_path: Path) -> None:
    loaded = load(file("two.pt"), tmp_path)
    assert [each.shape for each in loaded.inputs] == [(1, 3, 8, 8), (1, 4, 8, 8)]
    assert native.contract(loaded, {"model": "in/model.pt"}).outputs == []
    text = refused("model-shape", file("no-example.pt"), tmp_path)
    assert "--input-sizes" in text and "--size" in text
    assert load(file("no-example.pt"), tmp_path, size=(16, 8)).inputs[0].shape == (1, 3, 8, 16)
    assert load(file("no-example.pt"), tmp_path, sizes=((1, 3, 9, 9),)).inputs[0].shape == (1, 3, 9, 9)
    assert "2 shapes for 1 inputs" in refused(
        "bad-option", file("no-example.pt"), tmp_path, sizes=((1, 3, 9, 9), (1, 1))
    )


def test_script_that_the_toolkit_cannot_read_is_refused(tmp_path: Path) -> None:
    assert "torch.jit.trace" in refused("model-op", file("scripted.pt"), tmp_path)


def test_tflite_in_integers_is_not_to_be_quantized_again(tmp_path: Path) -> None:
    loaded = load(file("int8.tflite"), tmp_path)
    assert loaded.quantized
    assert loaded.inputs[0].shape == (1, 8, 8, 3)
    assert not load(of("tflite", tmp_path), tmp_path).quantized


def test_custom_operator_of_tflite_is_named(tmp_path: Path) -> None:
    source = of("tflite", tmp_path)
    data = bytearray(source.files["model"].read_bytes())
    # the code of the one operator, CONV_2D, in both its fields
    import tflite

    code = tflite.Model.GetRootAs(bytes(data), 0).OperatorCodes(0)
    for number, size in ((4, 1), (10, 4)):
        at = code._tab.Offset(number)
        if at:
            data[code._tab.Pos + at : code._tab.Pos + at + size] = (32).to_bytes(size, "little")
    source.files["model"].write_bytes(data)
    assert "it is custom" in refused("model-op", source, tmp_path)


@pytest.mark.parametrize("asked", [{"inputs": ("a",)}, {"outputs": ("a",)}, {"sizes": ((1, 8, 8, 3),)}])
def test_loader_that_takes_the_file_as_it_is_says_so(asked: dict[str, Any], tmp_path: Path) -> None:
    text = refused("bad-option", of("tflite", tmp_path), tmp_path, **asked)
    assert "takes the file as it is" in text and "invoke export" in text


def test_size_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    assert "fixed at 8x8" in refused("model-shape", of("tflite", tmp_path), tmp_path, size=(9, 8))
    assert "--input-sizes" in refused("model-shape", of("tensorflow", tmp_path), tmp_path, size=(9, 8))
    assert load(of("tflite", tmp_path), tmp_path, size=(8, 8)).inputs[0].shape == (1, 8, 8, 3)


def test_formats_of_the_legacy_toolkit_are_settled_too(tmp_path: Path) -> None:
    legacy = chips.toolkit("legacy")
    keras = load(of("keras", tmp_path), tmp_path, legacy)
    assert (keras.inputs[0].shape, keras.inputs[0].channels_last) == ((1, 8, 8, 3), True)
    assert load(of("mxnet", tmp_path), tmp_path, legacy, size=(8, 8)).inputs[0].shape == (1, 3, 8, 8)
    assert "does not tell the shape" in refused("model-shape", of("mxnet", tmp_path), tmp_path)


def renamed(source: Source, *names: tuple[bytes, bytes]) -> Source:
    """The model with words of its file replaced by others of the same length."""
    data = source.files["model"].read_bytes()
    for old, new in names:
        assert old in data and len(old) == len(new)
        data = data.replace(old, new)
    source.files["model"].write_bytes(data)
    return source


def test_what_the_vendors_list_lacks_is_refused_in_every_format(tmp_path: Path) -> None:
    legacy = chips.toolkit("legacy")
    graph = renamed(of("tensorflow", tmp_path), (b"Conv2D", b"Select"))
    assert "Operator Select at 'Select': the vendor's list" in refused(
        "model-op", graph, tmp_path, toolkit=legacy
    )
    assert load(graph, tmp_path).outputs
    pooled = of("caffe", tmp_path)
    with pooled.files["prototxt"].open("a") as stream:
        stream.write(
            'layer { name: "p" type: "Pooling" bottom: "conv" top: "p" pooling_param { round_mode: FLOOR } }'
        )
    text = refused("model-op", pooled, tmp_path, toolkit=legacy)
    assert "Operator round_mode at 'p': the toolkit rejects it" in text
    assert "round_mode: FLOOR" in load(pooled, tmp_path).source.files["prototxt"].read_text()


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_keras_that_its_loader_is_too_old_for_is_refused(tmp_path: Path, name: str) -> None:
    model = Path(shutil.copy(sources.DATA / name, tmp_path))
    if name == "net.h5":
        data = model.read_bytes()
        model.write_bytes(data.replace(b'"batch_input_shape"', b'"batch_shape"      '))
    text = refused("model-op", recognise([model]), tmp_path, toolkit=chips.toolkit("legacy"))
    assert "cannot read what later versions write" in text


def test_operators_of_the_table_are_the_formats_own() -> None:
    import tflite

    for toolkit in chips.toolkits().values():
        for names in toolkit.loaders["tflite"].refused.values():
            assert set(names) <= vars(tflite.BuiltinOperator).keys()


def test_darknet_goes_as_it_is(tmp_path: Path) -> None:
    loaded = load(of("darknet", tmp_path), tmp_path)
    assert loaded.inputs[0].shape == (1, 3, 8, 8)
    assert {*loaded.source.files} == {"cfg", "weights"}


def test_route_that_the_toolkit_would_take_from_elsewhere_is_refused(tmp_path: Path) -> None:
    source = of("darknet", tmp_path)
    text = source.files["cfg"].read_text()
    for layers, code in (("-1,0", "model-op"), ("-1,-2", "")):
        upsampled = f"[upsample]\nstride=1\n[route]\nlayers={layers}\n"
        source.files["cfg"].write_text(text + upsampled)
        if code:
            assert "--darknet bridge" in refused(code, source, tmp_path)
        else:
            assert load(source, tmp_path).outputs[0].name == "route_2"
