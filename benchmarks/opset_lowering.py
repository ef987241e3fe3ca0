"""How many models reach an older opset: by ONNX's own version converter, and by rkforge's rules.

    python benchmarks/opset_lowering.py --to 12 MODEL.onnx [MODEL.onnx ...]

A model has arrived when it is valid there and computes the same within 1e-5 on random input. Prints a row per
opset, and why rkforge's rules failed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from onnx.version_converter import convert_version  # noqa: E402

from host.sources.onnx.opset import fit_opset, opset_of  # noqa: E402
from host.sources.onnx.shapes import fix_shapes  # noqa: E402
from host.sources.onnx.trial import random_inputs, run  # noqa: E402
from shared.faults import Fault  # noqa: E402

IR_VERSION = 8


def converter(proto: onnx.ModelProto, to: int) -> onnx.ModelProto:
    """The model as ONNX's converter leaves it."""
    made = convert_version(proto, to)
    made.ir_version = IR_VERSION
    return made


def rules(proto: onnx.ModelProto, to: int) -> onnx.ModelProto:
    """The model as rkforge lowers it."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    fit_opset(made, to, to, IR_VERSION)
    return made


def obstacle(proto: onnx.ModelProto, to: int, way: Callable[[onnx.ModelProto, int], onnx.ModelProto]) -> str:
    """Why the model does not arrive; empty when it does."""
    try:
        made = way(proto, to)
        onnx.checker.check_model(made)
        inputs = random_inputs(proto)
        for before, after in zip(run(proto, inputs), run(made, inputs), strict=True):
            np.testing.assert_allclose(after, before, 1e-5, 1e-5)
    except Fault as fault:
        return fault.message
    except Exception as error:  # the converter raises whatever stops it
        return " ".join(str(error).split())[:160] or type(error).__name__
    return ""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("--to", type=int, default=12)
    options = parser.parse_args()
    arrived: Counter[tuple[int, str]] = Counter()
    failures = []
    for path in options.model:
        proto = onnx.load(path)
        opset = opset_of(proto)
        if opset <= options.to:
            continue
        fix_shapes(proto, None)
        arrived[opset, "models"] += 1
        arrived[opset, "converter"] += not obstacle(proto, options.to, converter)
        cause = obstacle(proto, options.to, rules)
        arrived[opset, "rules"] += not cause
        if cause:
            failures.append(f"- {path.stem}: {cause}")
    print("| opset | models | ONNX's converter | rkforge |\n|---|---|---|---|")
    for opset in sorted({opset for opset, _ in arrived}):
        counts = [str(arrived[opset, column]) for column in ("models", "converter", "rules")]
        print(f"| {opset} | {' | '.join(counts)} |")
    print("", *failures, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
