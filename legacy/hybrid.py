"""Hybrid quantization's files between its two steps: which layers get which number format.

The toolkit writes three files into the current directory. One, YAML, lists every layer under
`quantize_parameters` as '@layer:output', and layers with a format of their own under
`customized_quantize_layers`, where it may have put proposals.
"""

import difflib
import glob
import json
import os
import re
import shutil
from typing import Any, Dict, List, Mapping, NamedTuple

from ruamel.yaml import YAML

from shared.faults import Fault

CHOSEN = "customized_quantize_layers"
KNOWN = "quantize_parameters"
BLOCK = re.compile(r"^%s:.*\n(?:[ \t]+\S.*\n)*" % CHOSEN, re.MULTILINE)
ENDS = (".json", ".data", ".quantization.cfg")
DOCUMENT = "hybrid.quantization.cfg"


class Parts(NamedTuple):
    """The files that the first step left, by the names that the second gives them."""

    model_input: str
    data_input: str
    model_quantization_cfg: str


def left_in(folder: str) -> Parts:
    """The files in `folder`: their common name is not that of the model's file."""
    found = [sorted(glob.glob(os.path.join(glob.escape(folder), "*" + end))) for end in ENDS]
    if [len(paths) for paths in found] != [1, 1, 1]:
        names = ", ".join(sorted(os.listdir(folder))) or "nothing"
        raise RuntimeError("hybrid_quantization_step1 left no json, data and cfg file but %s" % names)
    return Parts(*(paths[0] for paths in found))


def choose(parts: Parts, layers: Mapping[str, str], dtype: str) -> None:
    """Give `layers` (name -> number format) their formats, in place of the toolkit's proposals.

    Args:
        parts: of the first step.
        layers: empty to keep the proposals.
        dtype: of all other layers.

    Raises:
        Fault: bad-option for layers that the model does not have, or more formats than one model can have.
    """
    if not layers:
        return
    with open(parts.model_quantization_cfg, encoding="utf-8") as stream:
        text = stream.read()
    known = list(dict.fromkeys(re.sub(r"^@|:[^:]*$", "", key) for key in _read(text)[KNOWN]))
    unknown = [name for name in layers if name not in known]
    if unknown:
        print("layers that --hybrid can name:", *known, sep="\n  ")
        raise Fault("bad-option", "; ".join(_no_such(name, known) for name in unknown), "Correct --hybrid.")
    formats = sorted({dtype, *layers.values()})
    if len(formats) > 2:
        raise Fault(
            "bad-option",
            "one model can have two number formats, not %d: %s" % (len(formats), ", ".join(formats)),
            "Give all layers of --hybrid the same one.",
        )
    # only these lines change: the rest stays as its reader wrote it
    lines = ["    %s: %s\n" % (json.dumps(name, ensure_ascii=False), layers[name]) for name in layers]
    text = BLOCK.sub(lambda _: "%s:\n%s" % (CHOSEN, "".join(lines)), text)
    if _read(text)[CHOSEN] != dict(layers):
        raise RuntimeError("%s does not look as documented" % os.path.basename(parts.model_quantization_cfg))
    with open(parts.model_quantization_cfg, "w", encoding="utf-8") as stream:
        stream.write(text)


def keep(parts: Parts, folder: str) -> str:
    """Leave the layers' formats in `folder` for the user; the file's name."""
    shutil.copy(parts.model_quantization_cfg, os.path.join(folder, DOCUMENT))
    return DOCUMENT


def _read(text: str) -> Dict[str, Any]:
    content = YAML(typ="safe").load(text)
    if not isinstance(content, dict) or not isinstance(content.get(KNOWN), dict) or CHOSEN not in content:
        raise RuntimeError("the file of hybrid_quantization_step1 has no %s and %s" % (CHOSEN, KNOWN))
    return content


def _no_such(name: str, known: List[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = "did you mean %s?" % " or ".join(near) if near else "the log lists its %d layers" % len(known)
    return "the model has no layer %s: %s" % (name, hint)
