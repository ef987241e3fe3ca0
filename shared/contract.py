"""What the host and the environments say to each other: one job directory, described by these records.

    job.json      Job, written by the host
    in/           the model, the calibration images and their list, the held-out inputs
    events.jsonl  one Event a line, appended by the harness
    log.txt       everything the vendor's toolkit printed
    out/          the artefact, simulated outputs, further documents; appears by a rename, never half-written
    result.json   Result, written last by the harness

All paths inside the records are relative to the job directory.
"""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional

CONTRACT = 3
"""Raised whenever a record below changes; images carry it as a label and the host refuses another."""


class Source(NamedTuple):
    """A model in the format that it comes in."""

    format: str
    """A key of the table's formats."""
    files: Dict[str, str]
    """Role -> path. A single file has the role "model", a SavedModel "folder"; pairs are "prototxt" and
    "caffemodel", "cfg" and "weights", "symbol" and "params"; TensorFlow's checkpoints are "meta", "index" and
    "data", the latter with "data1", "data2", ... where it is in several files."""
    inputs: List[str]
    """Names, as the format has them; empty where the file's own inputs are meant."""
    shapes: List[List[int]]
    """Of the inputs, batch included, their axes in the order of the format; empty as `inputs`."""
    outputs: List[str]
    """Names; empty where the file's own outputs are meant."""


class Job(NamedTuple):
    """One conversion for one chip, or one export to ONNX, complete: the environment needs nothing else."""

    contract: int
    chip: str
    """Empty for an export."""
    toolkit_version: str
    source: Source
    config: Dict[str, Any]
    """Keyword arguments of the toolkit's `config`, target_platform included; of an export its options: opset,
    size and trust_pickle."""
    quantize: bool
    dataset: Optional[str]
    """The calibration list, or None when nothing is quantized."""
    heldout: List[str]
    """One .npy per model input: uint8 (samples, height, width, channels) for images, else (samples, *shape).

    The shape of a sample includes the batch, which is 1.
    """
    hybrid: Optional[Dict[str, str]]
    """Layer -> number format for hybrid quantization; empty for what the toolkit proposes, None for none."""
    analysis: bool
    """Whether to write the toolkit's own layer-by-layer error analysis."""
    artifact: str
    """File name of the result."""
    timeout_s: float
    memory_bytes: int
    """Resident memory above which the job is stopped; 0 for no limit."""


class Event(NamedTuple):
    """A stage that began, or progress within it (`done` of `total`; both 0 when it cannot be counted).

    Stages in order: prepare (the host's), load, quantize, build, write, check, done.
    """

    time: float
    stage: str
    text: str
    done: int
    total: int


class Artifact(NamedTuple):
    """The file a job made, .rknn or .onnx, as read back from its own bytes.

    What its format does not tell is None, and `masked_bytes` 0: so are all but the first three of an export.
    """

    file: str
    size: int
    sha256: str
    canonical_digest: Optional[str]
    masked_bytes: int
    platform: Optional[str]
    toolkit_version: Optional[str]


class Operator(NamedTuple):
    """An operator of the compiled model, as the toolkit's compiler tells of it."""

    op: str
    """What runs: fused operators have names of their own, as ConvRelu."""
    name: str
    """Of the node in the toolkit's graph."""
    dtype: str
    target: str
    """The processor: NPU, CPU or GPU."""
    inputs: str
    """Shapes, as "1x3x32x32 8x3x3x3"; the compiler leaves out what is beyond the third or so: "..."."""
    outputs: str
    memory_cycles: int
    compute_cycles: int
    cycles: int
    """The compiler's estimate; 0 where it has none, which is all that runs on the CPU."""
    traffic_kb: int
    """What it reads and writes in memory."""


class Placement(NamedTuple):
    """Where the operators of the compiled model run, inputs and outputs aside, and the memory it needs."""

    operators: List[Operator]
    internal_kb: float
    weight_kb: float
    reasons: Dict[str, str]
    """Operator -> what the compiler said when it kept one from the NPU; most go without a word."""


class Result(NamedTuple):
    """How a job ended. `fault` is None exactly when `artifact` is there."""

    artifact: Optional[Artifact]
    simulated: List[str]
    """One .npy per model output, shape (images, *output shape); empty when nothing was simulated."""
    reference: List[str]
    """One .npy per model output, shape (images, *output shape): what the source's own framework computes from
    the same inputs in floats; empty where the host can tell (ONNX), or nobody."""
    documents: List[str]
    """Further files for the user, in out/: error analysis, hybrid configuration."""
    retries: List[Dict[str, Any]]
    """Changes to `config` that a failed attempt asked for: [{"reason": ..., "config": {...}}]."""
    warnings: List[str]
    environment: Dict[str, Any]
    """Python, packages and process settings that the result depends on."""
    peak_memory_bytes: int
    durations_s: Dict[str, float]
    fault: Optional[Dict[str, Any]]
    placement: Optional[Placement] = None
    """None when the toolkit does not tell."""


def write_json(path: str, data: Any) -> None:
    """Write `data` as JSON so that a reader sees the old file or the new one, nothing between."""
    beside = path + ".tmp"
    with open(beside, "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1, sort_keys=True, ensure_ascii=False)
        stream.write("\n")
    os.replace(beside, path)


def read_json(path: str) -> Any:
    """The JSON document in `path`; OSError or ValueError as they come."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def to_json(value: Any) -> Any:
    """The records in `value` as JSON objects."""
    if hasattr(value, "_asdict"):
        return {name: to_json(inner) for name, inner in value._asdict().items()}
    return [to_json(each) for each in value] if isinstance(value, list) else value


def write_job(path: str, job: Job) -> None:
    """Write job.json."""
    write_json(path, to_json(job))


def read_job(path: str) -> Job:
    """Read job.json; ValueError when it is not a job of this contract."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("contract") != CONTRACT:
        raise ValueError("%s is not a job of contract %d" % (path, CONTRACT))
    job: Job = _record(Job, data)
    return job._replace(source=_record(Source, data["source"]))


def write_result(path: str, result: Result) -> None:
    """Write result.json."""
    write_json(path, to_json(result))


def read_result(path: str) -> Result:
    """Read result.json; ValueError when it is not a result."""
    data = read_json(path)
    result: Result = _record(Result, data)
    if result.artifact is not None:
        result = result._replace(artifact=_record(Artifact, data["artifact"]))
    if result.placement is not None:
        placement: Placement = _record(Placement, data["placement"])
        operators = [_record(Operator, row) for row in data["placement"]["operators"]]
        result = result._replace(placement=placement._replace(operators=operators))
    return result


def append_event(path: str, event: Event) -> None:
    """Append one line to events.jsonl; a short write to a file opened for appending stays whole."""
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(event._asdict(), ensure_ascii=False) + "\n")


def read_event(line: str) -> Event:
    """The event in one line of events.jsonl; ValueError when it is none."""
    event: Event = _record(Event, json.loads(line))
    return event


def _record(kind: Any, data: Dict[str, Any]) -> Any:
    if not isinstance(data, dict) or set(data) != set(kind._fields):
        raise ValueError("expected a %s with %s" % (kind.__name__, ", ".join(kind._fields)))
    return kind(**data)
