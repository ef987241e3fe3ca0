"""One conversion with rknn-toolkit 1.7.5: config, load, build or hybrid quantization, export, analysis.

The only module that imports the vendor's code. What is called here, how, and what it answers is from the
vendor's documentation: rkforge's authors did not have the toolkit. It has no simulator.
"""

import importlib
import os
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

from legacy import artifact, hybrid, parameters
from legacy.analysis import analyse
from legacy.files import Place, calibration_list, workplace
from legacy.loaders import IMPORTED_FIRST, LOADERS
from shared.contract import Job
from shared.faults import Fault
from shared.installed import environment

DTYPE = "asymmetric_affine-u8"
"""The toolkit's own default."""
BATCH = "rknn_batch_size"
"""The one option of a job that is not for config() but for build()."""
SEVERAL = "%s=%s: the file takes and gives so many samples at once; model.decode.json describes one of them"
WITHOUT_CODE = ("config",)
"""Calls that return None; for all others that is a failure."""


class Refused(RuntimeError):
    """A call of the toolkit returned an error code."""


def convert(job: Job, directory: str, enter: Callable[[str], None], save: Callable[..., None]) -> None:
    """Convert `job` into `directory`; the harness explains whatever is raised here."""
    save(environment=environment())
    batch = {BATCH: job.config[BATCH]} if BATCH in job.config else {}
    if batch and job.hybrid is not None:
        message = "--set %s: hybrid quantization has no such option" % BATCH
        raise Fault("bad-option", message, "Leave one of the two out.")
    with workplace(directory) as place:
        dataset = {"dataset": calibration_list(place, job.dataset)} if job.dataset else {}
        enter("load")
        parts = _calibrate(job, place, dataset, enter) if job.hybrid is not None else None
        with _toolkit(job) as rknn:
            if parts:
                enter("build")
                code = rknn.hybrid_quantization_step2(**parts._asdict(), **dataset)
                _check("hybrid_quantization_step2", code)
            else:
                _load(rknn, job, place)
                enter("quantize" if job.quantize else "build")
                _check("build", rknn.build(do_quantization=job.quantize, **dataset, **batch))
            enter("write")
            target = os.path.join(place.out, job.artifact)
            _check("export_rknn", rknn.export_rknn(export_path=target))
            documents = [hybrid.keep(parts, place.out)] if parts else []
            warnings = artifact.remarks(target) + [SEVERAL % each for each in batch.items() if each[1] > 1]
            save(after="the clean-up", documents=documents, warnings=warnings)
            if job.quantize:
                save(after="the export of quantization parameters")
                try:
                    documents += parameters.export(rknn, target, place)
                except Exception as error:  # the result is there, whatever the toolkit makes of this
                    warnings.append("there are no quantization parameters: %s" % error)
                save(after="the clean-up", documents=documents, warnings=warnings)
            if job.analysis:
                enter("check")
                save(after="the error analysis")
                save(documents=documents + analyse(rknn, job, place))


def _calibrate(job: Job, place: Place, dataset: Dict[str, str], enter: Callable[[str], None]) -> hybrid.Parts:
    """Hybrid quantization's first step, and the layers' formats as the job wants them."""
    with _toolkit(job) as rknn:
        _load(rknn, job, place)
        enter("quantize")
        _check("hybrid_quantization_step1", rknn.hybrid_quantization_step1(**dataset))
    parts = hybrid.left_in(place.scratch)
    hybrid.choose(parts, job.hybrid or {}, job.config.get("quantized_dtype", DTYPE))
    return parts


def _load(rknn: Any, job: Job, place: Place) -> None:
    files = {role: os.path.join(place.job, path) for role, path in job.source.files.items()}
    _check("load_" + job.source.format, LOADERS[job.source.format](rknn, job.source._replace(files=files)))


@contextmanager
def _toolkit(job: Job) -> Iterator[Any]:
    """A toolkit with the job's configuration, released at the end."""
    first = IMPORTED_FIRST.get(job.source.format)
    if first:
        importlib.import_module(first)
    from rknn.api import RKNN

    rknn = RKNN()
    try:
        config = {**job.config, "target_platform": [job.config["target_platform"]]}
        config.pop(BATCH, None)
        _check("config", rknn.config(**config))
        yield rknn
    finally:
        rknn.release()


def _check(call: str, code: Any) -> None:
    if code != 0 and not (code is None and call in WITHOUT_CODE):
        raise Refused("%s returned %s" % (call, code))
