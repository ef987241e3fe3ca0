"""What runs on the user's machine. Nothing that it uses tells others of the user's models."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # on by default since ONNX Runtime 1.29; read when it is imported
