"""Exports small networks, one PyTorch operation each, at every opset: what `opset_lowering.py` lowers.

    TORCH_PYTHON benchmarks/opset_nets.py FOLDER [--dynamo]

TORCH_PYTHON has torch and onnx, and onnxscript for --dynamo. An operation that an opset lacks is left out.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 32
BOTH = (2, 3)


class Net(nn.Module):  # type: ignore[misc]
    """A convolution to 16 channels, then what is to be exported."""

    def __init__(self, after: Callable[..., Any], *modules: Any) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 3, padding=1)
        self.after, self.modules_ = after, nn.ModuleList(modules)

    def forward(self, x: Any) -> Any:
        return self.after(self.convolution(x), *self.modules_)


def tokens(x: Any) -> Any:
    """Pixels as a sequence: [1, pixels, 16]."""
    return x.flatten(2).transpose(1, 2)


NETS: dict[str, Net] = {
    "batch norm, silu": Net(lambda x, norm: F.silu(norm(x)), nn.BatchNorm2d(16)),
    "hardswish": Net(F.hardswish),
    "squeeze and excite": Net(lambda x: x * F.hardsigmoid(x.mean(BOTH, keepdim=True))),
    "layer norm": Net(lambda x, norm: norm(tokens(x)), nn.LayerNorm(16)),
    "transformer": Net(
        lambda x, layer: layer(tokens(F.avg_pool2d(x, 4))).mean(1),
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu"),
    ),
    "group norm": Net(lambda x, norm: norm(x), nn.GroupNorm(4, 16)),
    "instance norm": Net(lambda x, norm: norm(x), nn.InstanceNorm2d(16, affine=True)),
    "nearest": Net(lambda x: F.interpolate(x, scale_factor=2)),
    "bilinear": Net(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)),
    "bilinear to size": Net(lambda x: F.interpolate(x, (40, 48), mode="bilinear", align_corners=True)),
    "bicubic": Net(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    "pixel shuffle": Net(lambda x: F.pixel_shuffle(x, 2)),
    "chunk": Net(lambda x: torch.cat([F.relu(part) for part in x.chunk(2, 1)], 1)),
    "split": Net(lambda x: torch.cat([F.relu(part) for part in x.split([4, 12], 1)], 1)),
    "mean": Net(lambda x: x.mean(BOTH)),
    "sum": Net(lambda x: x.sum(1, keepdim=True)),
    "max": Net(lambda x: x.amax(BOTH)),
    "variance": Net(lambda x: x.var(BOTH)),
    "log-sum-exp": Net(lambda x: x.logsumexp(1)),
    "softmax over channels": Net(lambda x: x.softmax(1)),
    "softmax over pixels": Net(lambda x: x.flatten(2).softmax(-1)),
    "log-softmax": Net(lambda x: x.log_softmax(1)),
    "squeeze": Net(lambda x: x.mean(BOTH, keepdim=True).squeeze(3).squeeze(2).unsqueeze(1)),
    "pad": Net(lambda x: F.pad(x, (1, 2, 3, 4))),
    "reflect": Net(lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect")),
    "clamp": Net(lambda x: x.clamp(0, 6)),
    "lstm": Net(lambda x, rnn: rnn(x.mean(2).transpose(1, 2))[0], nn.LSTM(16, 8, batch_first=True)),
    "gru": Net(lambda x, rnn: rnn(x.mean(2).transpose(1, 2))[0], nn.GRU(16, 8, batch_first=True)),
    "gelu": Net(F.gelu),
    "gelu by tanh": Net(lambda x: F.gelu(x, approximate="tanh")),
    "mish": Net(F.mish),
    "leaky relu": Net(lambda x: F.leaky_relu(x, 0.1)),
    "prelu": Net(lambda x, act: act(x), nn.PReLU(16)),
    "elu": Net(F.elu),
    "average pool": Net(lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "classifier": Net(lambda x, head: head(F.adaptive_avg_pool2d(x, 1).flatten(1)), nn.Linear(16, 5)),
    "max pool": Net(lambda x: F.max_pool2d(x, 2)),
    "max pool, ceil": Net(lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    "transposed convolution": Net(lambda x, conv: conv(x), nn.ConvTranspose2d(16, 8, 4, 2, 1)),
    "dilated convolution": Net(lambda x, conv: conv(x), nn.Conv2d(16, 4, 3, dilation=(2, 3))),
    "normalize": Net(lambda x: F.normalize(x, dim=1)),
    "argmax": Net(lambda x: x.argmax(1)),
    "slices": Net(lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, 1::2]], 1)),
    "view": Net(lambda x: x.view(x.shape[0], 2, 8, -1).permute(0, 2, 1, 3)),
    "expand": Net(lambda x: x * torch.ones(16, 1, 1).expand(16, SIDE, SIDE)),
    "power, root": Net(lambda x: (x**2 + 1).sqrt()),
    "grid sample": Net(lambda x: F.grid_sample(x, torch.zeros(1, 8, 8, 2), align_corners=False)),
    "top-k": Net(lambda x: x.flatten(1).topk(4)[0]),
    "where": Net(lambda x: torch.where(x > 0, x, -x)),
    "einsum": Net(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)),
    "cumulative sum": Net(lambda x: x.cumsum(1)),
    "roll": Net(lambda x: torch.roll(x, 1, 2)),
    "glu": Net(lambda x: F.glu(x, 1)),
    "round": Net(lambda x: x.round()),
    "maximum": Net(lambda x: torch.maximum(x, -x)),
}


def main() -> None:
    """Write NAME.OPSET.onnx for every net and opset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dynamo", action="store_true", help="PyTorch's newer exporter: opsets 18 and 20")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    how = {"dynamo": True, "external_data": False, "verbose": False} if options.dynamo else {"dynamo": False}
    example = torch.zeros(1, 3, SIDE, SIDE)
    for name, net in NETS.items():
        for opset in (18, 20) if options.dynamo else range(13, 21):
            path = options.folder / f"{name}.{opset}.onnx"
            try:
                torch.onnx.export(net.eval(), (example,), path, opset_version=opset, input_names=["x"], **how)
            except Exception as error:  # the exporters raise what their passes lead them to
                print(f"{name} at opset {opset}: {type(error).__name__}")


if __name__ == "__main__":
    main()
