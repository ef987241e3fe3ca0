"""PyTorch checkpoints on the host: told apart by the names that their pickle mentions, and never loaded."""

from pathlib import Path

from shared.faults import Fault
from shared.pickles import checkpoint_globals, holds_network


def refuse_weights_alone(path: Path) -> None:
    """Refuse a checkpoint that holds weights without the network that they are for (a state dict).

    Raises:
        Fault: model-format.
    """
    if not holds_network(checkpoint_globals(str(path))):
        raise Fault(
            "model-format",
            f"{path} holds weights alone (a state dict), not the network that they are for.",
            "Build the network in Python, load these weights into it, and export it to ONNX or TorchScript; "
            "Ultralytics saves whole networks (best.pt).",
        )
