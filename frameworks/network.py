"""A PyTorch network to ONNX: one image or vector in, static shapes, by the exporter that traces."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch

from frameworks.exported import Array, Exported
from shared.contract import Job
from shared.faults import Fault

NEWEST_OPSET = 20
"""That the tracing exporter writes."""


def export(job: Job, network: Any, path: str, notes: Sequence[str] = ()) -> Exported:
    """Write the network to `path` as ONNX.

    Raises:
        Fault: model-shape where nothing tells the shape of the input.
    """
    network = network.eval().float()
    inputs = tuple(torch.rand(shape) for shape in shapes(job, network))
    with torch.no_grad():
        outputs = flat(network(*inputs))
    names = ["input"] if len(inputs) == 1 else [f"input{number}" for number in range(len(inputs))]
    torch.onnx.export(
        network,
        inputs,
        path,
        opset_version=min(job.config["opset"], NEWEST_OPSET),
        input_names=names,
        output_names=["output"] if len(outputs) == 1 else [f"output{n}" for n in range(len(outputs))],
        dynamo=False,
    )
    return Exported(runner(network), notes=notes)


def runner(network: Any) -> Any:
    """The network as a function of arrays."""

    def run(arrays: Sequence[Array]) -> list[Array]:
        with torch.no_grad():
            found = flat(network(*(torch.from_numpy(array) for array in arrays)))
        return [numpy.asarray(tensor.numpy()) for tensor in found]

    return run


def flat(value: Any) -> list[Any]:
    """The tensors in what a network returned, in the order in which the exporter names them."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in flat(part)]


def shapes(job: Job, network: Any) -> list[list[int]]:
    """Those of the inputs: as the job has them, else what the first layer takes, of the job's size."""
    if job.source.shapes:
        return job.source.shapes
    first = next((weight for weight in network.parameters() if weight.dim() in (2, 4)), None)
    size = job.config["size"]
    if first is not None and first.dim() == 2:
        return [[1, first.shape[1]]]
    if first is not None and size:
        width, height = size
        return [[1, first.shape[1], height, width]]
    raise Fault("model-shape", "the file does not tell the size of its input")
