"""One export: by the framework of the job's format, then the proof that the ONNX file computes the same.

The job's `config` has `opset`, `size` ([width, height] or None) and `trust_pickle`.
"""

import importlib
import os
from collections.abc import Callable, Mapping

from shared import contract
from shared.contract import Job
from shared.installed import environment

EXPORTERS: Mapping[str, str] = {
    "pytorch": "frameworks.checkpoint",
    "torchscript": "frameworks.torchscript",
    "tensorflow": "frameworks.graphs",
    "savedmodel": "frameworks.graphs",
    "tf-checkpoint": "frameworks.graphs",
    "keras": "frameworks.graphs",
    "tflite": "frameworks.tflite",
}
"""Format -> module with `export(job, path) -> Exported`; no environment can import them all."""
FACTS = "export.json"
"""The document beside the ONNX file."""


def convert(job: Job, directory: str, enter: Callable[[str], None], save: Callable[..., None]) -> None:
    """Export `job` into `directory`; the harness explains whatever is raised here."""
    save(environment=environment())
    path = os.path.join(os.path.abspath(directory), job.artifact)
    enter("load")
    exporter = importlib.import_module(EXPORTERS[job.source.format])
    enter("build")
    exported = exporter.export(job, path)
    enter("check")
    from frameworks import proof

    facts = proof.examine(path, exported.run)
    facts.update(opset=opset(path), labels=list(exported.labels), notes=list(exported.notes))
    contract.write_json(os.path.join(directory, FACTS), facts)
    save(documents=[FACTS])


def opset(path: str) -> int:
    """That of the ONNX file's own operators."""
    import onnx

    imports = onnx.load(path, load_external_data=False).opset_import
    return int(next(each.version for each in imports if each.domain in ("", "ai.onnx")))
