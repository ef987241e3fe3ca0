"""The toolkit's own error analysis of what quantization did to each layer, on one held-out input.

Whether it runs without a board is not documented: the vendor's example calls it without one.
"""

import os
import shutil
from typing import Any, List

import numpy

from legacy.files import Place, write_list
from shared.contract import Job

SUFFIX = "_qnt_error_analysis.txt"
"""Ends the names of the toolkit's reports: "entire" of errors that add up, "individual" of single layers."""


def analyse(rknn: Any, job: Job, place: Place) -> List[str]:
    """Leave the analysis of a quantized model beside the result; its file names."""
    if not job.heldout:
        raise RuntimeError("there is no held-out input to analyse")
    row = []
    for number, heldout in enumerate(job.heldout):
        row.append(os.path.join(place.scratch, "input.%d.npy" % number))
        numpy.save(row[-1], _sample(numpy.load(os.path.join(place.job, heldout))))
    inputs = write_list(os.path.join(place.scratch, "inputs.txt"), [row])
    snapshot = os.path.join(place.scratch, "snapshot")
    code = rknn.accuracy_analysis(inputs=inputs, output_dir=snapshot)
    if code != 0:
        raise RuntimeError("accuracy_analysis returned %s" % code)
    names = []
    for name in sorted(os.listdir(snapshot)):
        if name.endswith(SUFFIX):
            names.append("analysis.%s.txt" % name[: -len(SUFFIX)])
            shutil.move(os.path.join(snapshot, name), os.path.join(place.out, names[-1]))
    if not names:
        raise RuntimeError("accuracy_analysis left no report")
    return names


def _sample(array: Any) -> Any:
    """The first sample as the toolkit reads arrays: what is 4-D has its channels last."""
    if array.dtype == numpy.uint8:
        return array[:1]
    return array[0].transpose(0, 2, 3, 1) if array[0].ndim == 4 else array[0]
