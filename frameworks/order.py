"""The same file in every run: tf2onnx goes through sets of nodes, whose order is that of their addresses."""

from tf2onnx.graph import Node


def nodes_by_name() -> None:
    """Let sets of nodes have an order that depends on names alone."""
    Node.__hash__ = lambda node: hash(node.name)
