"""`python -m legacy [--jobs N] JOB_DIR [JOB_DIR ...]`"""

import sys

from legacy import artifact, logs
from shared import harness

TOOLKIT = harness.Toolkit(
    module="legacy.convert",
    preload=False,  # TensorFlow starts threads, and nobody has seen whether this toolkit survives a fork
    environment={},
    classify=logs.classify,
    verify=artifact.verify,
    warnings=logs.warnings,
)

if __name__ == "__main__":
    sys.exit(harness.main(TOOLKIT, sys.argv[1:]))
