"""Judges the file that the toolkit exported by its bytes, not by the return code."""

from shared import digest, heap, rknn_file
from shared.artifact import measured
from shared.contract import Artifact, Job
from shared.faults import Fault


def verify(job: Job, path: str) -> Artifact:
    """The artefact in `path`; Fault artifact-invalid when it is not for the job's chip and version."""
    try:
        parsed = rknn_file.read(path)
    except Fault as fault:
        raise Fault("artifact-invalid", "the toolkit left no usable file: " + fault.message) from None
    if parsed.platform != job.chip:
        raise Fault("artifact-invalid", f"the toolkit wrote a file for {parsed.platform}, not {job.chip}")
    if parsed.toolkit_version != job.toolkit_version:
        raise Fault(
            "artifact-invalid",
            f"the file is from toolkit {parsed.toolkit_version}, not {job.toolkit_version}",
        )
    with open(path, "rb") as stream:
        data = stream.read()
    return measured(job, path)._replace(
        canonical_digest=digest.canonical(data) if heap.ready() else None,
        masked_bytes=digest.masked_bytes(data),
        platform=parsed.platform,
        toolkit_version=parsed.toolkit_version,
    )
