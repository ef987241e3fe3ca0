"""Every way a conversion can fail, in one list: code -> exit status, HTTP status, default hint.

A fault is a product: its message says what happened, its hint says what to do.
Runs on Python 3.6+ with the standard library only, on the host and in every environment.
"""

import errno
from typing import Any, Dict, List, NamedTuple, Optional, Sequence


class Kind(NamedTuple):
    """What a fault code means to a shell, to an HTTP client and to a person."""

    exit_status: int
    http_status: int
    hint: str


FAULTS: Dict[str, Kind] = {
    # bad input or configuration
    "bad-option": Kind(2, 422, "Run the same command with --help for its options."),
    "model-missing": Kind(2, 422, "Check the path that --model (or rkforge.yaml) names."),
    "model-invalid": Kind(2, 422, "Export the model again and check that the copy is complete."),
    "model-format": Kind(2, 422, "Export the model to ONNX."),
    "pickle-refused": Kind(
        2, 422, "If you trust where the file comes from, add --trust-pickle; else do not use it."
    ),
    "model-data-missing": Kind(2, 422, "Put the external data file beside the .onnx file."),
    "model-weights": Kind(2, 422, "Export the model again from a checkpoint whose weights are finite."),
    "model-opset": Kind(2, 422, "Export the model again with a lower opset."),
    "model-shape": Kind(2, 422, "Give the input size with --size WxH, or export with a static shape."),
    "model-op": Kind(2, 422, "Replace the operator, or cut the graph before it."),
    "head-unknown": Kind(2, 422, "Leave --head out: auto leaves alone what it does not know."),
    "graph-changed": Kind(2, 422, "Convert with --head raw, and please report the model."),
    "dataset-missing": Kind(2, 422, "Check the path that --dataset names."),
    "dataset-empty": Kind(2, 422, "Give a folder with images, or a list file with one image path per line."),
    "dataset-invalid": Kind(2, 422, "Remove or replace the files named above."),
    "dataset-too-large": Kind(2, 422, "Lower --max-images or raise --memory."),
    "output-invalid": Kind(2, 422, "Choose another --output."),
    "output-busy": Kind(2, 409, "Wait for the other run, or choose another --output."),
    "disk-full": Kind(2, 507, "Free some space; `invoke doctor` shows what rkforge keeps."),
    "file-access": Kind(2, 422, "Check that the file is there and that its permissions allow this."),
    "record-invalid": Kind(2, 422, "Give the rknn_source.yaml of an earlier rkforge conversion."),
    "rknn-invalid": Kind(2, 422, "Give a complete .rknn file."),
    # what the chip or the toolkit cannot do
    "chip-unknown": Kind(3, 422, "Run `invoke chips` for the list."),
    "dtype-unsupported": Kind(3, 422, "Run `invoke chips` for what each chip supports."),
    "version-unsupported": Kind(3, 422, "Run `invoke chips` for the versions of each toolkit."),
    # the engine and its environments
    "engine-missing": Kind(4, 503, "Start Docker, or use --engine local on Linux."),
    "engine-lost": Kind(4, 503, "Check that the Docker engine is running (`docker info`), then run again."),
    "python-missing": Kind(4, 503, "Install the Python that is named above, or use --engine docker."),
    "compiler-missing": Kind(4, 503, "Install gcc and the C library's headers, or use --engine docker."),
    "environment-missing": Kind(5, 503, "Run `invoke build`."),
    "environment-outdated": Kind(5, 503, "Run `invoke build`."),
    "environment-build": Kind(
        5, 503, "Read the build log named above; `invoke doctor` checks disk and network."
    ),
    "wheel-missing": Kind(5, 503, "Hand the vendor's wheel over: invoke build --wheel PATH."),
    "wheel-invalid": Kind(5, 503, "Get the vendor's wheel again."),
    # the vendor toolkit
    "toolkit-refused": Kind(6, 500, "Read the log's last lines above."),
    "toolkit-crashed": Kind(6, 500, "Try another --dtype or --toolkit-version."),
    "toolkit-op": Kind(6, 500, "Replace the operator, or cut the graph before it."),
    "torch-needed": Kind(6, 500, "Use --variant full: this graph needs PyTorch inside the toolkit."),
    "tensorflow-needed": Kind(6, 500, "Use --variant full: the toolkit needs TensorFlow to quantize."),
    "out-of-memory": Kind(6, 507, "Raise --memory or lower --max-images."),
    "artifact-invalid": Kind(6, 500, "Try another --toolkit-version."),
    # the result
    "dead-output": Kind(7, 500, "Use --head auto or --dtype fp16; --allow-dead keeps the file."),
    "placement": Kind(7, 500, "Cut the graph before these operators; --allow-cpu keeps the file."),
    "not-reproduced": Kind(7, 500, "Compare both rknn_source.yaml files: what differs is listed above."),
    # time and people
    "timeout": Kind(8, 504, "Raise --timeout, or use fewer images or --algorithm normal."),
    "cancelled": Kind(130, 499, "Nothing was changed. Run again when ready."),
    "internal": Kind(1, 500, "This is a bug in rkforge: please report it with the log."),
}


class Fault(Exception):
    """A failure that a person can act on.

    Args:
        code: a key of FAULTS; decides the exit status.
        message: what happened, one line, with the names and numbers involved.
        hint: what to do; the code's default when empty.
        log: path of the log that tells more, if there is one.
        log_tail: the last lines of that log.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", log: Optional[str] = None, log_tail: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint or FAULTS[code].hint
        self.log = log
        self.log_tail: List[str] = list(log_tail)

    @property
    def exit_status(self) -> int:
        """The process exit status that belongs to this fault's code."""
        return FAULTS[self.code].exit_status

    def to_json(self) -> Dict[str, Any]:
        """A JSON object with code, message, hint, log and log_tail."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "log": self.log,
            "log_tail": self.log_tail,
        }

    @classmethod
    def from_os_error(
        cls, error: OSError, code: str, doing: str = "use", path: str = "", hint: str = ""
    ) -> "Fault":
        """The fault for what the system refused to do with `path`, by default the file the error names."""
        path = path or str(error.filename or "a file")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls("disk-full", "no space left for %s" % path)
        return cls(code, "cannot %s %s: %s" % (doing, path, error.strerror or error), hint)

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "Fault":
        """The fault that `to_json` wrote."""
        return cls(data["code"], data["message"], data["hint"], data["log"], data["log_tail"])
