"""A Caffe network as its .prototxt describes it: layers in order, what feeds them, what they leave.

Schema: caffe.proto of BVLC Caffe; what forks add to it is skipped.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from host.sources.readers.damage import damaged
from host.sources.readers.schema import messages
from host.sources.source import Port
from shared.faults import Fault
from shared.text import one_line

SCHEMA = messages(
    "rkforge.caffe",
    """
    message BlobShape { repeated int64 dim = 1; }
    message BlobProto {
      optional int32 num = 1; optional int32 channels = 2; optional int32 height = 3;
      optional int32 width = 4; optional bytes data = 5; optional BlobShape shape = 7;
      optional bytes double_data = 8;      optional bytes raw_data = 12;
    }
    message InputParameter { repeated BlobShape shape = 1; }
    message ConvolutionParameter {
      optional uint32 num_output = 1; optional bool bias_term = 2 [default = true];
      repeated uint32 kernel_size = 4; optional uint32 group = 5 [default = 1];
      optional uint32 kernel_h = 11; optional uint32 kernel_w = 12;
    }
    message InnerProductParameter {
      optional uint32 num_output = 1; optional bool bias_term = 2 [default = true];
    }
    enum RoundMode { CEIL = 0; FLOOR = 1; }
    message PoolingParameter { optional RoundMode round_mode = 13; }
    message ScaleParameter { optional bool bias_term = 4; }
    message EmbedParameter { optional bool bias_term = 3 [default = true]; }
    enum Phase { TRAIN = 0; TEST = 1; }
    message NetStateRule { optional Phase phase = 1; }
    message LayerParameter {
      optional string name = 1; optional string type = 2; repeated string bottom = 3; repeated string top = 4;
      repeated BlobProto blobs = 7; repeated NetStateRule include = 8; repeated NetStateRule exclude = 9;
      optional ConvolutionParameter convolution_param = 106;
      optional InnerProductParameter inner_product_param = 117;
      optional PoolingParameter pooling_param = 121;
      optional EmbedParameter embed_param = 137;
      optional ScaleParameter scale_param = 142; optional InputParameter input_param = 143;
    }
    enum LayerType {
      NONE = 0; ACCURACY = 1; BNLL = 2; CONCAT = 3; CONVOLUTION = 4; DATA = 5; DROPOUT = 6;
      EUCLIDEAN_LOSS = 7; FLATTEN = 8; HDF5_DATA = 9; HDF5_OUTPUT = 10; IM2COL = 11; IMAGE_DATA = 12;
      INFOGAIN_LOSS = 13; INNER_PRODUCT = 14; LRN = 15; MULTINOMIAL_LOGISTIC_LOSS = 16;
      POOLING = 17; RELU = 18; SIGMOID = 19; SOFTMAX = 20; SOFTMAX_LOSS = 21; SPLIT = 22; TANH = 23;
      WINDOW_DATA = 24; ELTWISE = 25; POWER = 26;
      SIGMOID_CROSS_ENTROPY_LOSS = 27; HINGE_LOSS = 28; MEMORY_DATA = 29; ARGMAX = 30; THRESHOLD = 31;
      DUMMY_DATA = 32; SLICE = 33; MVN = 34; ABSVAL = 35; SILENCE = 36; CONTRASTIVE_LOSS = 37; EXP = 38;
      DECONVOLUTION = 39;
    }
    message V1LayerParameter {
      repeated string bottom = 2; repeated string top = 3; optional string name = 4;
      optional LayerType type = 5; repeated BlobProto blobs = 6;
      optional ConvolutionParameter convolution_param = 10;
      optional InnerProductParameter inner_product_param = 17;
      optional PoolingParameter pooling_param = 19;
      repeated NetStateRule include = 32; repeated NetStateRule exclude = 33;
    }
    message NetParameter {
      optional string name = 1; repeated V1LayerParameter layers = 2; repeated string input = 3;
      repeated int32 input_dim = 4; repeated BlobShape input_shape = 8; repeated LayerParameter layer = 100;
    }
    """,
    syntax="proto2",
)
"""Packed numbers are declared as bytes, which they are on the wire: weights are not unpacked one by one."""

TITLE = "a Caffe prototxt"
TEST = 1
"""The phase in which a network is used."""
ROUND_MODE = "round_mode"
"""Listed among the types of layers where pooling has it: loaders differ on it."""
CONSTANT = ("PriorBox", "DummyData")
"""Types of layers whose result does not depend on the values that they are fed."""
_UNUSUAL = {"Lrn": "LRN", "Relu": "ReLU", "Tanh": "TanH", "Bnll": "BNLL", "Mvn": "MVN", "Absval": "AbsVal"}
"""Names of types that do not follow from those of version 1."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network in use."""

    name: str
    type: str
    """In the spelling of the present version: Convolution, not CONVOLUTION."""
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any
    """LayerParameter or V1LayerParameter of the schema."""
    place: tuple[str, int]
    """The field that it is in, "layers" of version 1 or "layer", and its number there."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Its type, and what else of it loaders differ on."""
        rounded = self.message.pooling_param.HasField(ROUND_MODE)
        return (self.type, ROUND_MODE) if rounded else (self.type,)


@dataclass(frozen=True)
class Net:
    """A network in use: layers for training are left out."""

    inputs: tuple[Port, ...]
    layers: tuple[Layer, ...]

    def outputs(self, without: Sequence[Layer] = ()) -> tuple[str, ...]:
        """The blobs that depend on the inputs and that no layer takes, in their order.

        Args:
            without: layers that are thought away.
        """
        left: dict[str, None] = {}
        computed = {port.name for port in self.inputs}
        for layer in self.layers:
            if layer in without or layer.type in CONSTANT or computed.isdisjoint(layer.bottoms):
                continue
            for bottom in layer.bottoms:
                left.pop(bottom, None)
            left |= dict.fromkeys(layer.tops)
            computed |= {*layer.tops}
        return tuple(left)


def read(path: Path) -> Net:
    """The network in a prototxt.

    Raises:
        Fault: model-invalid for text that is none, for a network that only trains, or without layers.
    """
    message = SCHEMA["NetParameter"]()
    try:
        text_format.Parse(text_of(path), message, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError) as error:
        raise damaged(path, TITLE, one_line(error)) from error
    layers = layers_of(message)
    if not layers:
        raise damaged(path, TITLE, "it has no layers")
    inputs = tuple(_inputs(path, message, layers))
    if not inputs:
        feeding = next((layer for layer in layers if layer.type.endswith("Data")), None)
        cause = f"layer {feeding.name!r} ({feeding.type}) reads a data set" if feeding else "it has no input"
        raise Fault(
            "model-invalid",
            f"{path} describes no network in use: {cause}.",
            "Give the network's deploy.prototxt, with an `input` or a layer of type Input.",
        )
    return Net(inputs, tuple(layer for layer in layers if layer.type != "Input"))


def text_of(path: Path) -> str:
    """What a prototxt says; comments may be in any encoding."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def layers_of(message: Any) -> tuple[Layer, ...]:
    """The layers of a NetParameter of either version that are there in use."""
    return tuple(
        Layer(
            each.name,
            _present(each) if field == "layers" else each.type,
            tuple(each.bottom),
            tuple(each.top),
            each,
            (field, number),
        )
        for field in ("layers", "layer")
        for number, each in enumerate(getattr(message, field))
        if all(rule.phase == TEST for rule in each.include if rule.HasField("phase"))
        and not any(rule.phase == TEST for rule in each.exclude if rule.HasField("phase"))
    )


def _present(layer: Any) -> str:
    """The present name of a type of version 1."""
    name = layer.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[layer.type].name
    title = "".join(word.capitalize() for word in name.split("_"))
    return re.sub("^Softmaxloss$", "SoftmaxWithLoss", _UNUSUAL.get(title, title))


def _inputs(path: Path, message: Any, layers: Sequence[Layer]) -> Iterator[Port]:
    shapes = [tuple(shape.dim) for shape in message.input_shape]
    dims = tuple(message.input_dim)
    shapes = shapes or [dims[start : start + 4] for start in range(0, len(dims), 4)]
    named = list(message.input)
    for layer in layers:
        if layer.type == "Input":
            of_layer = [tuple(shape.dim) for shape in layer.message.input_param.shape]
            named += layer.tops
            shapes += of_layer * len(layer.tops) if len(of_layer) == 1 else of_layer
    if len(named) != len(shapes):
        raise damaged(path, TITLE, f"it has {len(named)} inputs and {len(shapes)} shapes of inputs")
    for name, shape in zip(named, shapes, strict=True):
        yield Port(name, tuple(length if length > 0 else "?" for length in shape), "float32")
