"""Outputs with rows that are longer than an NPU can move: the compiler leaves them to the CPU.

Measured with rknn-toolkit2 2.5.0 for rv1103 and rv1106: an output [1, 84, 8192, 1] is made by the NPU; with
8208 its Reshape and the output itself are on the CPU. A decoded head at 640x640 has 8400 boxes in a row.
"""

from onnx import ModelProto

from host.sources.onnx.interface import shape_text, static_shape


def too_long(proto: ModelProto, longest: int) -> tuple[str, ...]:
    """A sentence on every output [1, C, N] or [1, C, N, 1] with N above `longest`; 0 for no limit."""
    return tuple(
        f"output {value.name!r} {shape_text(shape)} has {shape[2]} values in a row, and this NPU moves "
        f"{longest}: the CPU has to do it, which is slow where the board's runtime can at all. Cut the head "
        "(--head auto does where it knows it), or export the model at a smaller input size"
        for value in proto.graph.output
        for shape in [static_shape(value)]
        if longest and len(shape) > 2 and shape[2] > longest and all(n == 1 for n in shape[3:])
    )
