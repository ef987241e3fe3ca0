"""Writes files whose loaders have to be told something, or that must be refused.

`python -m tests.data.make_native FOLDER FRAMEWORK`, where the framework, pytorch or tensorflow (2.14), must
be there. Weights are random: only the form of the files matters.
"""

import sys
from pathlib import Path
from typing import Any

from tests.data.make_sources import _without

SIDE, CHANNELS = 8, 4


def pytorch(folder: Path) -> None:
    """Traces of two inputs and without the shapes of an example, and a script with its control flow."""
    import torch

    class Two(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Conv2d(3, CHANNELS, 3, padding=1)

        def forward(self, left: Any, right: Any) -> Any:
            return self.features(left) + right, torch.relu(right)

    class Branching(torch.nn.Module):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.dim() > 4:
                image = image[0]
            return torch.relu(image)

    image = torch.zeros(1, 3, SIDE, SIDE)
    two = torch.jit.trace(Two().eval(), (image, torch.zeros(1, CHANNELS, SIDE, SIDE)))
    two.save(str(folder / "two.pt"))
    torch.jit.freeze(torch.jit.trace(torch.nn.Conv2d(3, CHANNELS, 3).eval(), image)).save(
        str(folder / "no-example.pt")
    )
    torch.jit.script(Branching().eval()).save(str(folder / "scripted.pt"))
    for path in folder.glob("*.pt"):
        _without(".debug_pkl", path)  # they tell where PyTorch lay


def tensorflow(folder: Path) -> None:
    """TensorFlow Lite in integers; a detector's graph with loops before and behind it; one with variables."""
    import numpy as np
    import tensorflow as tf

    v1 = tf.compat.v1
    network = tf.keras.Sequential(
        [tf.keras.layers.Conv2D(CHANNELS, 3, input_shape=(SIDE, SIDE, 3)), tf.keras.layers.ReLU()]
    )
    lite = tf.lite.TFLiteConverter.from_keras_model(network)
    lite.optimizations = [tf.lite.Optimize.DEFAULT]
    lite.representative_dataset = lambda: (
        [np.random.default_rng(seed).random((1, SIDE, SIDE, 3), np.float32)] for seed in range(4)
    )
    (folder / "int8.tflite").write_bytes(lite.convert())
    lite.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    lite.inference_input_type = lite.inference_output_type = tf.int8
    (folder / "integers.tflite").write_bytes(lite.convert())
    v1.disable_control_flow_v2()
    for name in ("loops", "variables"):
        with tf.Graph().as_default() as graph, v1.Session():
            image = v1.placeholder(tf.float32, (None, None, None, 3), "image")
            kernel = np.ones((3, 3, 3, CHANNELS), np.float32)
            weight = v1.get_variable("weight", initializer=kernel) if name == "variables" else kernel
            scaled = tf.map_fn(lambda each: v1.image.resize_images(each, (SIDE, SIDE)), image)
            ready = tf.subtract(scaled, 1.0, "ready")
            features = tf.nn.relu(tf.nn.conv2d(ready, weight, 1, "SAME"), name="features")
            tf.map_fn(lambda each: each * 2.0, features, name="sorted")
            (folder / f"{name}.pb").write_bytes(graph.as_graph_def().SerializeToString())


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    {"pytorch": pytorch, "tensorflow": tensorflow}[sys.argv[2]](target)
