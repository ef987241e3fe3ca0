"""What reaches the toolkit is a sound, static ONNX model; everything else is refused with its cause."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from host.sources.onnx.model import load
from host.sources.onnx.operators import refuse_operators
from host.sources.onnx.reach import glued, refuse_outputs
from host.sources.onnx.trial import run
from shared import chips
from shared.faults import Fault

TOOLKIT = chips.toolkit("toolkit2")
Shape = Sequence[int | str | None]


def model(
    nodes: Sequence[NodeProto],
    shape: Shape = (1, 3, 8, 8),
    output: Shape | None = None,
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> ModelProto:
    """A model from input x to output y, which has the input's shape where none is given."""
    graph = make_graph(
        nodes,
        "test",
        [make_tensor_value_info("x", kind, shape)],
        [make_tensor_value_info("y", TensorProto.FLOAT, output or shape)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [make_opsetid("", opset)] + [make_opsetid(node.domain, 1) for node in nodes if node.domain]
    return make_model(graph, opset_imports=opsets, ir_version=8)


def conv(shape: Shape = (1, 3, 8, 8), weight: np.ndarray | None = None, opset: int = 17) -> ModelProto:
    """One 3x3 convolution from 3 to 4 channels."""
    if weight is None:
        weight = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    node = make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    return model([node], shape, (shape[0], 4, *shape[2:]), {"w": weight}, opset)


def saved(proto: ModelProto, path: Path) -> Path:
    onnx.save(proto, path)
    return path


def refused(path: Path, code: str, *words: str, size: tuple[int, int] | None = None) -> Fault:
    """The fault of loading `path`, known to have the code and to say the words in one line."""
    with pytest.raises(Fault) as caught:
        refuse_operators(load(path, TOOLKIT, size).proto, TOOLKIT, quantize=False)
    fault = caught.value
    assert fault.code == code, fault.message
    assert all(word in f"{fault.message} {fault.hint}" for word in words), (fault.message, fault.hint)
    assert "\n" not in fault.message and fault.hint
    return fault


def test_static_model_passes_unchanged(tmp_path: Path) -> None:
    proto = conv()
    proto.metadata_props.add(key="names", value="{0: 'page'}")
    source = load(saved(proto, tmp_path / "m.onnx"), TOOLKIT)
    assert source.proto == proto
    assert (source.opset, source.proto.ir_version, source.notes) == (17, 8, ())
    assert [(i.name, i.shape, i.dtype) for i in source.inputs] == [("x", (1, 3, 8, 8), "float32")]
    assert [o.shape for o in source.outputs] == [(1, 4, 8, 8)]


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_opset_and_ir_version_are_ones_that_the_toolkit_reads(tmp_path: Path, toolkit: chips.Toolkit) -> None:
    proto = conv(opset=21)
    proto.ir_version = 12
    source = load(saved(proto, tmp_path / "m.onnx"), toolkit)
    assert source.proto.ir_version == toolkit.max_ir_version
    assert source.opset == toolkit.max_opset


def test_weights_listed_as_inputs_are_not_inputs(tmp_path: Path) -> None:
    proto = conv()
    proto.graph.input.append(make_tensor_value_info("w", TensorProto.FLOAT, (4, 3, 3, 3)))
    assert [i.name for i in load(saved(proto, tmp_path / "m.onnx"), TOOLKIT).inputs] == ["x"]


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    assert load(saved(conv(), tmp_path / "model.pb"), TOOLKIT).inputs
    (tmp_path / "m.onnx").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    refused(tmp_path / "m.onnx", "model-format", "TensorFlow Lite")


@pytest.mark.parametrize(
    ("name", "content", "code", "word"),
    [
        ("m.onnx", b"", "model-invalid", "empty"),
        (
            "m.onnx",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "model-invalid",
            "git lfs pull",
        ),
        ("m.onnx", b"<!DOCTYPE html><html>", "model-invalid", "HTML"),
        ("m.onnx", b'{"error": "not found"}', "model-invalid", "JSON"),
        ("m.onnx", b"not a model at all", "model-invalid", "ONNX"),
        ("m.onnx", b"RKNN\0\0\0\0", "model-format", ".rknn"),
        ("m.onnx", b"\x89HDF\r\n\x1a\n", "model-format", "Keras"),
        ("m.pt", b"\x80\x02}q\0.", "model-format", "PyTorch"),
        ("m.onnx", b"PK\x03\x04 no zip", "model-invalid", "zip"),
        ("m.cfg", b"# comment\n[net]\nwidth=416\n", "model-format", "Darknet"),
        ("m.prototxt", b'name: "x"\nlayer {\n', "model-format", "Caffe"),
        ("m.caffemodel", b"\x0a\x03abc\xff\xff", "model-invalid", "ONNX"),
        ("frozen.pb", b"\x0a\x04node\xff\xff", "model-invalid", "ONNX"),
    ],
)
def test_other_content_is_named(tmp_path: Path, name: str, content: bytes, code: str, word: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, code, word)


def test_missing_file_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "model-missing", "none.onnx")
    refused(tmp_path, "model-invalid", "folder")


def test_damaged_files_give_only_faults(tmp_path: Path) -> None:
    whole = conv().SerializeToString()
    path, chance = tmp_path / "m.onnx", random.Random(0)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(path, "model-invalid")
    for _ in range(300):
        flipped = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            load(path, TOOLKIT)  # a flipped weight is still a model
        except Fault as fault:
            assert fault.code.startswith("model-")


def test_nan_and_infinite_weights_are_named(tmp_path: Path) -> None:
    for value, word in ((np.nan, "NaN"), (np.inf, "infinite")):
        weight = np.ones((4, 3, 3, 3), np.float32)
        weight[0, 0, 0, 0] = value
        refused(saved(conv(weight=weight), tmp_path / "m.onnx"), "model-weights", "'w'", word)


def test_infinite_mask_is_no_broken_weight(tmp_path: Path) -> None:
    mask = {"mask": np.array([0, -np.inf], np.float32)}
    proto = model([make_node("Add", ["x", "mask"], ["y"])], (1, 2), (1, 2), mask)
    assert load(saved(proto, tmp_path / "m.onnx"), TOOLKIT).inputs


def test_dynamic_batch_becomes_one(tmp_path: Path) -> None:
    source = load(saved(conv(("batch", 3, 8, 8)), tmp_path / "m.onnx"), TOOLKIT)
    assert source.inputs[0].shape == (1, 3, 8, 8) and source.outputs[0].shape == (1, 4, 8, 8)
    assert source.notes == ("input 'x' [batch, 3, 8, 8]: batch fixed to 1",)


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, None, None)])
def test_dynamic_size_needs_and_takes_a_size(tmp_path: Path, shape: Shape) -> None:
    proto = conv(shape)
    proto.graph.value_info.append(make_tensor_value_info("stale", TensorProto.FLOAT, shape))
    path = saved(proto, tmp_path / "m.onnx")
    refused(path, "model-shape", "height and width", "--size")
    source = load(path, TOOLKIT, (16, 12))
    assert source.inputs[0].shape == (1, 3, 12, 16) and source.outputs[0].shape == (1, 4, 12, 16)
    assert "size fixed to 16x12" in source.notes[-1]
    assert not source.proto.graph.value_info


def test_nhwc_size_goes_to_the_middle_axes(tmp_path: Path) -> None:
    path = saved(model([make_node("Relu", ["x"], ["y"])], (1, "h", "w", 3)), tmp_path / "m.onnx")
    assert load(path, TOOLKIT, (16, 12)).inputs[0].shape == (1, 12, 16, 3)


def test_size_that_the_model_cannot_take(tmp_path: Path) -> None:
    refused(saved(conv(), tmp_path / "fixed.onnx"), "model-shape", "fixed at 8x8", size=(16, 16))
    flat = model(
        [make_node("Reshape", ["x", "to"], ["y"])],
        (1, 3, "h", "w"),
        weights={"to": np.array([1, 192], np.int64)},
    )
    refused(saved(flat, tmp_path / "baked.onnx"), "model-shape", "does not run", "[1, 3, 9, 9]", size=(9, 9))
    audio = model([make_node("Relu", ["x"], ["y"])], (1, 160))
    refused(saved(audio, tmp_path / "audio.onnx"), "model-shape", "no image input", size=(9, 9))


def test_other_dynamic_dimension_is_refused(tmp_path: Path) -> None:
    path = saved(model([make_node("Relu", ["x"], ["y"])], (1, "length", 16)), tmp_path / "m.onnx")
    refused(path, "model-shape", "[1, length, 16]", "dimension 1")


def test_newer_opset_is_lowered_and_keeps_what_it_computes(tmp_path: Path) -> None:
    proto = conv(opset=21)
    proto.metadata_props.add(key="stride", value="32")
    source = load(saved(proto, tmp_path / "m.onnx"), TOOLKIT)
    assert source.opset == TOOLKIT.max_opset and "from 21 to 19" in source.notes[0]
    assert [(p.key, p.value) for p in source.proto.metadata_props] == [("stride", "32")]
    data = {"x": np.random.default_rng(2).random((1, 3, 8, 8), np.float32)}
    np.testing.assert_allclose(run(source.proto, data)[0], run(proto, data)[0], atol=1e-6)


def test_operators_that_the_toolkit_cannot_convert(tmp_path: Path) -> None:
    custom = model([make_node("MyOp", ["x"], ["y"], name="head", domain="my.ops")])
    refused(saved(custom, tmp_path / "custom.onnx"), "model-op", "MyOp", "my.ops", "head")
    det = model([make_node("Det", ["x"], ["y"])])
    refused(saved(det, tmp_path / "det.onnx"), "model-op", "Det", "lowering")


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "INT32", "BOOL", "UINT8"])
def test_inputs_have_types_that_the_toolkit_is_known_to_take(
    tmp_path: Path, kind: str, toolkit: chips.Toolkit
) -> None:
    cast = make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    path = saved(model([cast], opset=12, kind=TensorProto.DataType.Value(kind)), tmp_path / "m.onnx")
    if kind.lower() in toolkit.input_types:
        assert load(path, toolkit).inputs
        return
    with pytest.raises(Fault, match=f"'x' is {kind.lower()}: {toolkit.other_input_types}") as caught:
        load(path, toolkit)
    assert caught.value.code == "model-op" and "float32" in caught.value.hint


def test_operator_on_constants_is_folded_not_refused(tmp_path: Path) -> None:
    nodes = [make_node("Ceil", ["c"], ["d"]), make_node("Add", ["x", "d"], ["y"])]
    path = saved(model(nodes, weights={"c": np.array([1.5], np.float32)}), tmp_path / "m.onnx")
    assert load(path, TOOLKIT).inputs


def test_graph_without_outputs(tmp_path: Path) -> None:
    proto = conv()
    del proto.graph.output[:]
    refused(saved(proto, tmp_path / "m.onnx"), "model-invalid", "output")


def test_input_that_no_output_needs_is_left_out_with_what_reads_it(tmp_path: Path) -> None:
    proto = conv()
    proto.graph.input.append(make_tensor_value_info("im_info", TensorProto.UINT8, ["N", 3]))
    proto.graph.node.append(make_node("Identity", ["im_info"], ["nowhere"]))
    loaded = load(saved(proto, tmp_path / "m.onnx"), TOOLKIT)
    assert [each.name for each in loaded.inputs] == ["x"] and len(loaded.proto.graph.node) == 1
    assert any("'im_info'" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("nodes", "outputs", "words"),
    [
        (
            [make_node("Identity", ["y"], ["z"])],
            ["y", "z"],
            ["'z' is the same tensor as 'y'", "--outputs y."],
        ),
        (
            [make_node("Identity", ["y"], ["a"]), make_node("Identity", ["y"], ["b"])],
            ["a", "b"],
            ["'b' is the same tensor as 'a'", "--outputs a."],
        ),
        ([], ["y", "y"], ["'y' is the same tensor as 'y'", "--outputs y."]),
        ([], ["y", "x"], ["'x' is the input itself", "--outputs y."]),
        ([make_node("Identity", ["w"], ["k"])], ["k", "y"], ["'k' is a constant", "--outputs y."]),
        ([], ["x"], ["Export the model again"]),
    ],
    ids=["copy", "two copies", "twice", "input", "constant", "input alone"],
)
def test_outputs_that_a_toolkit_cannot_give(
    nodes: list[NodeProto], outputs: list[str], words: list[str]
) -> None:
    proto = conv()
    proto.graph.node.extend(nodes)
    del proto.graph.output[:]
    proto.graph.output.extend(make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    with pytest.raises(Fault) as caught:
        refuse_outputs(proto)
    fault = caught.value
    assert fault.code == "model-op" and all(word in f"{fault.message} {fault.hint}" for word in words)


def test_outputs_of_their_own_are_left_alone() -> None:
    proto = conv()
    proto.graph.node.append(make_node("Identity", ["x"], ["z"]))
    proto.graph.output.append(make_tensor_value_info("z", TensorProto.FLOAT, None))
    refuse_outputs(proto)


def test_tensors_that_an_output_is_put_together_of() -> None:
    proto = conv()
    nodes = [
        make_node("Relu", ["y"], ["a"]),
        make_node("Sigmoid", ["y"], ["b"]),
        make_node("Concat", ["a", "b"], ["c"], axis=1),
        make_node("Transpose", ["c"], ["z"], perm=[0, 2, 3, 1]),
    ]
    proto.graph.node.extend(nodes)
    proto.graph.output.append(make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert glued(proto) == {"z": ["a", "b"]}
    proto.graph.node[-3].CopyFrom(make_node("Constant", [], ["b"], value_floats=[0.0]))
    assert glued(proto) == {}


def test_inputs_that_no_output_needs_at_all_are_said_to_be_so(tmp_path: Path) -> None:
    proto = model([make_node("Constant", [], ["k"], value_floats=[1.0])], (1,))
    proto.graph.output[0].name = "k"
    with pytest.raises(Fault, match=r"no output of .* depends on an input"):
        load(saved(proto, tmp_path / "m.onnx"), TOOLKIT)


def external(path: Path) -> Path:
    """The convolution with its weight in weights.bin beside the model."""
    onnx.save(conv(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data_is_read_in(tmp_path: Path) -> None:
    source = load(external(tmp_path / "m.onnx"), TOOLKIT)
    stored = numpy_helper.to_array(source.proto.graph.initializer[0])
    np.testing.assert_array_equal(stored, numpy_helper.to_array(conv().graph.initializer[0]))


def test_external_data_missing_short_or_outside(tmp_path: Path) -> None:
    path = external(tmp_path / "m.onnx")
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-1])
    refused(path, "model-data-missing", "'w'", "incomplete")
    (tmp_path / "weights.bin").unlink()
    refused(path, "model-data-missing", "weights.bin", "'w'")
    proto = onnx.load(path, load_external_data=False)
    for location in ("../weights.bin", "/etc/passwd", "a/../../b", "C:\\w.bin"):
        proto.graph.initializer[0].external_data[0].value = location
        path.write_bytes(proto.SerializeToString())
        refused(path, "model-invalid", "outside")
    for location in (".", "a\0b", 300 * "a"):
        proto.graph.initializer[0].external_data[0].value = location
        path.write_bytes(proto.SerializeToString())
        refused(path, "model-data-missing")
