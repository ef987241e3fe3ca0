"""What to do about a result that failed its check: what this model, chip and request leave to be tried."""

from collections.abc import Mapping
from typing import Any

from host import routes
from host.plan import Plan
from shared import chips

COARSE = 8
"""Bits of activations whose scales are too coarse."""


def of_dead_outputs(each: Plan, prepared: Mapping[str, Any], checks: Mapping[str, Any]) -> str:
    """The hint for outputs that died.

    Args:
        each: what was carried out.
        prepared: `Model.to_json`.
        checks: `Checks.to_json`, with dead outputs.
    """
    dead = {
        output["name"]: output for output in checks["outputs"] if any(g["dead"] for g in output["groups"])
    }
    ways = []
    if any(output["step"] and len(output["groups"]) > 1 for output in dead.values()):
        parts = prepared["glued"]
        if prepared["family"] != "unknown" and each.preparation.head != "auto":
            ways.append("--head auto")
        elif each.route.by == routes.ONNX and parts.keys() >= dead.keys():
            apart = [
                parts[name] if name in dead else [name] for name in (o["name"] for o in checks["outputs"])
            ]
            ways.append(f"--outputs {','.join(dict.fromkeys(name for names in apart for name in names))}")
    chip = chips.chip(each.chip)
    finer = [name for name in chip.offered if chips.dtype(chip, name).activation_bits != COARSE]
    ways += [f"--dtype {name}" for name in finer if name != each.dtype]
    if not ways and each.quantize:
        ways.append("another --algorithm")
    tried = " or ".join(ways) or "another --toolkit-version"
    return f"Try {tried}; --allow-dead keeps the file."
