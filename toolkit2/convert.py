"""One conversion with rknn-toolkit2: config, load, build, export, simulate, compare with, analyse.

The only module that imports the vendor's code. Return codes are checked everywhere: some failures
raise, some return -1, and `export_rknn` after a failed build would write an older model.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
from rknn.api import RKNN
from rknn.api.rknn_compiler import RKNNCompiler

from shared import heap
from shared.contract import Job
from shared.installed import environment
from toolkit2 import reference
from toolkit2.analysis import analyse
from toolkit2.loaders import CHANNELS_LAST, LOADERS
from toolkit2.simulator import simulate

TELLS_ALL = 3
"""The compiler's level of talk that includes its table of operators. `RKNN(verbose=True)` sets it too, but
leaves four copies of the model in the current directory besides."""
GRAPH = "/tmp/optimized_tf.pb"
"""Written by `load_tensorflow`, whatever TMPDIR says."""
# the compiler leaves bytes of its output unset: without this they are leftovers of this machine's memory
_compile = heap.zero_during(RKNNCompiler.build)


def _compile_aloud(model: str, config: Any, *others: Any) -> Any:
    config.verbose_level = TELLS_ALL
    return _compile(model, config, *others)


RKNNCompiler.build = _compile_aloud


class Refused(RuntimeError):
    """A call of the toolkit returned an error code."""


def convert(job: Job, directory: str, enter: Callable[[str], None], save: Callable[..., None]) -> None:
    """Convert `job` into `directory`; the harness explains whatever is raised here."""
    save(environment=environment())
    rknn = RKNN()
    try:
        enter("load")
        _check("config", rknn.config(**job.config))
        if job.source.format in CHANNELS_LAST:
            _order_nodes_by_name()
            _leave_no_graph()
        _check(f"load_{job.source.format}", LOADERS[job.source.format](rknn, job.source))
        enter("quantize" if job.quantize else "build")
        try:
            _check("build", rknn.build(do_quantization=job.quantize, dataset=job.dataset))
        finally:
            _refuse_touched_torch()
        enter("write")
        _check("export_rknn", rknn.export_rknn(os.path.join(directory, job.artifact)))
        save(after="the clean-up")
        if job.heldout:
            enter("check")
            save(after="the simulator")
            simulated = simulate(rknn, job, directory)
            save(simulated=simulated)
            save(after="the source's own framework")
            save(reference=reference.compute(job, directory, simulated))
        if job.analysis:
            enter("check")
            save(after="the error analysis")
            save(documents=analyse(rknn, job, directory))
    finally:
        rknn.release()


def _order_nodes_by_name() -> None:
    """Let sets of a TensorFlow graph's nodes have the same order, and the file the same bytes, in every run.

    By default it is that of the nodes' addresses, which TensorFlow's threads change.
    """
    from rknn.base.convertor.tensorflow2onnx.tf2onnx.graph import Node

    Node.__hash__ = lambda node: hash(node.name)


def _leave_no_graph() -> None:
    """Keep the toolkit from writing a TensorFlow graph, which it never reads back, to a place of all users.

    The model would stay there for everyone to read, and where another user's already lies, loading fails.
    """
    from tensorflow.python.platform.gfile import GFile

    opened = GFile.__init__

    def init(file: Any, name: Any, mode: str = "r") -> None:
        opened(file, os.devnull if name == GRAPH else name, mode)

    GFile.__init__ = init


def _check(call: str, code: int) -> None:
    if code != 0:
        raise Refused(f"{call} returned {code}")


def _refuse_touched_torch() -> None:
    """In the slim variant torch is a stand-in; a build that reached for more than it has is worthless."""
    touched: list[str] = getattr(torch, "rkforge_touched", list)()
    if touched:
        raise Refused("torch-needed: " + ", ".join(touched))
