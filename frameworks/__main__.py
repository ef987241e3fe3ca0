"""`python -m frameworks [--jobs N] JOB_DIR [JOB_DIR ...]`"""

import sys

from frameworks import artifact, logs
from shared import harness

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # sums in one order, as ONNX Runtime's
    "ORT_DISABLE_TELEMETRY": "1",
    # Ultralytics installs and downloads what it misses, unless told not to
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
}

TOOLKIT = harness.Toolkit(
    module="frameworks.convert",
    preload=False,  # TensorFlow starts threads
    environment=ENVIRONMENT,
    classify=logs.classify,
    verify=artifact.verify,
)

if __name__ == "__main__":
    sys.exit(harness.main(TOOLKIT, sys.argv[1:]))
