"""Writes one small network in every format that a framework writes: make_sources.py FOLDER FRAMEWORK.

The framework, pytorch or tensorflow (2.14), must be there. Weights are random: only the form of the files
matters. Caffe's, Darknet's and MXNet's files are written by tests/sources.py from the layouts that those
projects describe.
"""

import sys
import zipfile
from pathlib import Path

SIDE, CHANNELS = 8, 4


def pytorch(folder: Path) -> None:
    """A script, whole networks in both forms of torch.save, and weights alone in both."""
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(3, CHANNELS, 3), torch.nn.ReLU()).eval()
    torch.jit.trace(network, torch.zeros(1, 3, SIDE, SIDE)).save(str(folder / "script.pt"))
    _without(".debug_pkl", folder / "script.pt")  # they tell where PyTorch lay
    torch.save({"model": network, "epoch": 1}, folder / "whole.pt")
    torch.serialization.get_source_lines_and_file = None  # the old form has PyTorch's source in it
    torch.save(network, folder / "whole-legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, folder / "weights.pth")
    torch.save(network.state_dict(), folder / "weights-legacy.pth", _use_new_zipfile_serialization=False)


def _without(ending: str, path: Path) -> None:
    """Write a zip again without some of its members."""
    with zipfile.ZipFile(path) as archive:
        kept = [
            (info, archive.read(info)) for info in archive.infolist() if not info.filename.endswith(ending)
        ]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in kept:
            archive.writestr(info, content)


def tensorflow(folder: Path) -> None:
    """A SavedModel, a TensorFlow Lite file, a frozen graph, a checkpoint with its graph, Keras files."""
    import tensorflow as tf

    v1 = tf.compat.v1
    network = tf.Module()
    network.weight = tf.Variable(tf.random.normal((3, 3, 3, CHANNELS)))
    network.run = tf.function(
        lambda image: tf.nn.relu(tf.nn.conv2d(image, network.weight, 1, "SAME")),
        input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), name="image")],
    )
    tf.saved_model.save(network, str(folder / "saved"))
    lite = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "net.tflite").write_bytes(lite.convert())
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, (1, SIDE, SIDE, 3), "image")
        weight = v1.get_variable("weight", (3, 3, 3, CHANNELS))
        tf.nn.relu(tf.nn.conv2d(image, weight, 1, "SAME"), name="features")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "model.ckpt"))
        (folder / "checkpoint").unlink()
        frozen = v1.graph_util.convert_variables_to_constants(session, session.graph_def, ["features"])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
    layers = [tf.keras.layers.Input((SIDE, SIDE, 3)), tf.keras.layers.Conv2D(CHANNELS, 3)]
    model = tf.keras.Sequential(layers)
    model.save(folder / "net.h5")
    model.save(folder / "net.keras")


if __name__ == "__main__":
    {"pytorch": pytorch, "tensorflow": tensorflow}[sys.argv[2]](Path(sys.argv[1]))
