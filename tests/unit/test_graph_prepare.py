"""Preparation as a whole: what it changes is said, and proved; what it does not understand stays as it is."""

from collections.abc import Collection

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor_value_info
from onnx.numpy_helper import from_array, to_array

from host.graph import prepare as preparation
from host.graph.prepare import PASSES, prepare
from host.graph.request import Graph, Request
from host.sources.onnx.trial import random_inputs, run
from shared.faults import Fault
from tests import heads
from tests.models import conv, half


def two_images() -> ModelProto:
    proto = heads.yolov8()
    proto.graph.input.append(make_tensor_value_info("other", TensorProto.FLOAT, [1, 3, 8, 8]))
    return proto


def test_the_source_is_left_as_it_is() -> None:
    proto = heads.yolov8()
    before = proto.SerializeToString(deterministic=True)
    prepare(proto, quirks=list(PASSES))
    assert proto.SerializeToString(deterministic=True) == before


def test_every_change_is_said_in_a_line() -> None:
    prepared = prepare(heads.yolov8("pose"), "end2end", quirks=("outputs-4d",))
    assert [change.by for change in prepared.changes] == ["head", "outputs-4d"]
    assert "pose head of YOLOv5u, v8" in prepared.changes[0].what and "end2end" in prepared.changes[0].what
    assert all("\n" not in change.what for change in prepared.changes)


def test_nothing_that_the_outputs_do_not_need_is_kept() -> None:
    prepared = prepare(heads.yolov8())
    read = {name for node in prepared.proto.graph.node for name in node.input}
    made = {name for node in prepared.proto.graph.node for name in node.output}
    assert {tensor.name for tensor in prepared.proto.graph.initializer} <= read
    assert made <= read | {output.name for output in prepared.decode.outputs}
    assert "Softmax" not in {node.op_type for node in prepared.proto.graph.node}


def test_metadata_of_the_exporter_is_kept() -> None:
    proto = heads.yolov8()
    proto.metadata_props.add(key="names", value="{0: 'cat'}")
    assert {entry.key: entry.value for entry in prepare(proto).proto.metadata_props} == {
        "names": "{0: 'cat'}"
    }


@pytest.mark.parametrize("quirks", [(), tuple(PASSES)], ids=["alone", "with-all-quirks"])
@pytest.mark.parametrize("name", ["conv", "classifier", "feature-maps", "float16", "two-images"])
def test_what_has_no_head_computes_the_same(name: str, quirks: Collection[str]) -> None:
    proto = {
        "conv": conv(),
        "classifier": heads.classifier(),
        "feature-maps": heads.feature_maps(),
        "float16": half(heads.yolov8()),
        "two-images": two_images(),
    }[name]
    inputs = random_inputs(proto)
    found = run(prepare(proto, quirks=quirks).proto, inputs)
    for expected, array in zip(run(proto, inputs), found, strict=True):
        assert np.allclose(expected.ravel(), array.ravel(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 19])
@pytest.mark.parametrize("layout", ["branches", "end2end"])
def test_what_is_added_is_written_in_the_models_opset(opset: int, layout: str) -> None:
    proto = heads.yolox() if opset > 9 else without_slices(heads.yolox(decoded=False))
    proto.opset_import[0].version = opset
    prepared = prepare(proto, layout)
    assert prepared.proto.opset_import[0].version == opset
    assert prepared.decode.layout == layout


def without_slices(proto: ModelProto) -> ModelProto:
    assert "Slice" not in {node.op_type for node in proto.graph.node}
    return proto


def test_a_pass_that_changes_what_is_computed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(graph: Graph, _request: Request) -> tuple[Graph, str]:
        proto = ModelProto()
        proto.CopyFrom(graph.proto)
        weights = proto.graph.initializer[0]
        weights.CopyFrom(from_array(to_array(weights) * 1.01, weights.name))
        return Graph(proto, graph.decode), "spoilt"

    monkeypatch.setitem(preparation.PASSES, "spoil", spoil)
    for proto in (heads.yolov8(), conv()):
        with pytest.raises(Fault) as caught:
            prepare(proto, quirks=("spoil",))
        assert caught.value.code == "graph-changed"


def test_a_model_that_does_not_run_is_a_fault() -> None:
    proto = heads.yolov8()
    proto.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(Fault) as caught:
        prepare(proto)
    assert caught.value.code == "model-invalid"
