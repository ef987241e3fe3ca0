"""Darknet's activation functions as ONNX nodes."""

from collections.abc import Callable

from host.sources.darknet.writer import Writer


def apply(writer: Writer, activation: str, tensor: str, number: int) -> str:
    """The values of layer `number` after an activation; the tensor itself where that is linear."""
    return tensor if activation == "linear" else _WAYS[activation](writer, f"{activation}_{number}", tensor)


def _plain(operator: str, **attributes: float) -> Callable[[Writer, str, str], str]:
    return lambda writer, name, tensor: writer.node(operator, name, tensor, **attributes)


def _clip(low: float, high: float) -> Callable[[Writer, str, str], str]:
    def clip(writer: Writer, name: str, tensor: str) -> str:
        bounds = (writer.numbers(f"{name}.{side}", value) for side, value in (("low", low), ("high", high)))
        return writer.node("Clip", name, tensor, *bounds)

    return clip


def _swish(writer: Writer, name: str, tensor: str) -> str:
    return writer.node("Mul", name, tensor, writer.node("Sigmoid", f"{name}/sigmoid", tensor))


def _mish(writer: Writer, name: str, tensor: str) -> str:
    softplus = writer.node("Softplus", f"{name}/softplus", tensor)
    return writer.node("Mul", name, tensor, writer.node("Tanh", f"{name}/tanh", softplus))


def _ramp(writer: Writer, name: str, tensor: str) -> str:
    """1.1 x above zero, 0.1 x below."""
    return writer.times(name, writer.node("LeakyRelu", f"{name}/leaky", tensor, alpha=0.1 / 1.1), 1.1)


def _loggy(writer: Writer, name: str, tensor: str) -> str:
    """2 sigmoid(x) - 1."""
    return writer.node("Tanh", name, writer.times(f"{name}/half", tensor, 0.5))


_WAYS: dict[str, Callable[[Writer, str, str], str]] = {
    "elu": _plain("Elu", alpha=1.0),
    "hardtan": _clip(-1, 1),
    "leaky": _plain("LeakyRelu", alpha=0.1),
    "loggy": _loggy,
    "logistic": _plain("Sigmoid"),
    "mish": _mish,
    "ramp": _ramp,
    "relie": _plain("LeakyRelu", alpha=0.01),
    "relu": _plain("Relu"),
    "relu6": _clip(0, 6),
    "selu": _plain("Selu", alpha=1.6732, gamma=1.0507),
    "swish": _swish,
    "tanh": _plain("Tanh"),
}
