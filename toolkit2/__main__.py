"""`python -m toolkit2 [--jobs N] JOB_DIR [JOB_DIR ...]`"""

import sys

from shared import harness, heap
from toolkit2 import artifact, logs, placement

ENVIRONMENT = {
    **heap.ENVIRONMENT,
    # one thread, so that sums round alike everywhere; calibration uses one anyway
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # bars without times or rates: the same text, and so the same allocations, in every run
    "TQDM_BAR_FORMAT": "{desc}{n_fmt}/{total_fmt}",
    "TQDM_MININTERVAL": "0",
    "TQDM_MINITERS": "1",
}

TOOLKIT = harness.Toolkit(
    module="toolkit2.convert",
    preload=True,
    environment=ENVIRONMENT,
    progress=logs.progress,
    retry=logs.retry,
    classify=logs.classify,
    hidden=logs.hidden,
    verify=artifact.verify,
    warnings=logs.warnings,
    placement=placement.read,
)

if __name__ == "__main__":
    sys.exit(harness.main(TOOLKIT, sys.argv[1:]))
