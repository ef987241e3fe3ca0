"""TensorFlow's own formats to ONNX: each becomes a frozen graph of static shapes for tf2onnx."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow
import tf2onnx
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from frameworks import keras_file, nhwc
from frameworks.exported import Array, Exported
from frameworks.order import nodes_by_name
from shared.contract import Job
from shared.faults import Fault

v1 = tensorflow.compat.v1
NEWEST_OPSET = 18
"""That tf2onnx writes."""
SIGNATURE = "serving_default"


class Frozen(NamedTuple):
    """A graph without variables."""

    graph: Any
    inputs: Mapping[str, list[int]]
    """Tensor -> shape, without open lengths."""
    outputs: Sequence[str]
    names: Mapping[str, str]
    """Tensor -> what the user calls it."""


def export(job: Job, path: str) -> Exported:
    """Write the model to `path` as ONNX, image inputs with their channels first."""
    frozen = FREEZERS[job.source.format](job)
    turned = [nhwc.is_image(shape) for shape in frozen.inputs.values()]
    tensors = list(frozen.inputs)
    nodes_by_name()
    tf2onnx.convert.from_graph_def(
        frozen.graph,
        input_names=tensors,
        output_names=list(frozen.outputs),
        opset=min(job.config["opset"], NEWEST_OPSET),
        inputs_as_nchw=[tensor for tensor, each in zip(tensors, turned, strict=True) if each],
        shape_override=dict(frozen.inputs),
        tensors_to_rename=dict(frozen.names),
        output_path=path,
    )
    graph = tensorflow.Graph()
    with graph.as_default():
        v1.import_graph_def(frozen.graph, name="")

    def run(arrays: Sequence[Array]) -> Any:
        fed = dict(zip(tensors, nhwc.channels_last(arrays, turned), strict=True))
        with v1.Session(graph=graph) as session:
            return session.run(list(frozen.outputs), fed)

    return Exported(run, notes=nhwc.notes([frozen.names[tensor] for tensor in tensors], turned))


def of_graph(job: Job) -> Frozen:
    """A frozen graph, between the tensors that the job names."""
    graph = v1.GraphDef()
    with open(job.source.files["model"], "rb") as stream:
        graph.ParseFromString(stream.read())
    return _between(job, graph)


def of_checkpoint(job: Job) -> Frozen:
    """A graph and its variables, between the tensors that the job names."""
    with tensorflow.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(job.source.files["meta"], clear_devices=True)
        saver.restore(session, job.source.files["index"].removesuffix(".index"))
        wanted = [_operator(name) for name in job.source.outputs]
        graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, wanted)
    return _between(job, graph)


def of_saved_model(job: Job) -> Frozen:
    """A SavedModel's signature that serves, or its first."""
    loaded = tensorflow.saved_model.load(
        job.source.files["folder"]
    )  # holds the variables: must outlive the trace
    signatures = loaded.signatures
    if not signatures:
        raise Fault(
            "model-format", "the SavedModel has no signature", "Save it with one, or export it to ONNX."
        )
    serving = signatures[SIGNATURE if SIGNATURE in signatures else sorted(signatures)[0]]
    ports = serving.structured_input_signature[1]
    specs = {name: _spec(job, number, name, ports[name]) for number, name in enumerate(sorted(ports))}
    traced = tensorflow.function(lambda *values: serving(**dict(zip(specs, values, strict=True))))
    return _frozen(
        traced.get_concrete_function(*specs.values()), list(specs), sorted(serving.structured_outputs)
    )


def of_keras(job: Job) -> Frozen:
    """A Keras file of version 3, or an older one, which Keras 2 may have to read."""
    model = _keras(job.source.files["model"], bool(job.config["trust_pickle"]))
    names = getattr(model, "input_names", None) or [each.name for each in model.inputs]
    tensors = enumerate(zip(names, model.inputs, strict=True))
    specs = [_spec(job, number, name, tensor) for number, (name, tensor) in tensors]
    outputs = getattr(model, "output_names", None) or [model.layers[-1].name]
    traced = tensorflow.function(
        lambda *values: model(values if len(values) > 1 else values[0], training=False)
    )
    return _frozen(traced.get_concrete_function(*specs), names, outputs)


FREEZERS: Mapping[str, Callable[[Job], Frozen]] = {
    "tensorflow": of_graph,
    "tf-checkpoint": of_checkpoint,
    "savedmodel": of_saved_model,
    "keras": of_keras,
}


def _keras(file: str, trusted: bool) -> Any:
    import keras

    if not trusted:
        keras_file.refuse_code(file)
    try:
        return keras.models.load_model(file, compile=False, safe_mode=not trusted)
    except (TypeError, ValueError, KeyError) as error:
        print(f"Keras 3 refused: {error}", flush=True)
    import tf_keras

    return tf_keras.models.load_model(file, compile=False, safe_mode=not trusted)


def _spec(job: Job, number: int, name: str, port: Any) -> Any:
    told = job.source.shapes
    shape = told[number] if told else nhwc.settled(name, list(port.shape), job.config["size"])
    return tensorflow.TensorSpec(shape, port.dtype, name=name)


def _frozen(function: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    constant = convert_variables_to_constants_v2(function)
    tensors = {tensor.name: list(tensor.shape) for tensor in constant.inputs}
    found = [tensor.name for tensor in constant.outputs]
    names = dict(zip([*tensors, *found], [*inputs, *outputs], strict=True))
    return Frozen(constant.graph.as_graph_def(), tensors, found, names)


def _between(job: Job, graph: Any) -> Frozen:
    """The part of a graph from the job's inputs to its outputs."""
    tensors = [_tensor(name) for name in job.source.inputs]
    outputs = [_tensor(name) for name in job.source.outputs]
    inputs = dict(zip(tensors, job.source.shapes, strict=True))
    names = {tensor: _operator(tensor) for tensor in [*tensors, *outputs]}
    return Frozen(graph, inputs, outputs, names)


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _operator(name: str) -> str:
    return name.split(":")[0]
