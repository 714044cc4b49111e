"""Which operations of torch reach which format: each in a network of its own.

`python -m tests.export.operations [--to onnx,tflite,coreml] [NAME ...]`, or `make operations` for
all, exports and verifies, and prints a line for each: the SNR against eager PyTorch in dB, or why
there is no artifact. Twenty minutes of processor time for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.survey import Outcome, command, exported

SIZE, CHANNELS = (30, 40), 8
Function = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Operation:
    """What is computed of a map (1, 8, 30, 40), with the modules that it needs by name."""

    function: Function
    parts: Mapping[str, nn.Module] = field(default_factory=dict)


class Network(nn.Module):
    """A convolution before the operation, and one behind it where its result is such a map."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.function = operation.function
        self.first, self.last = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, 4, 1)
        for name, part in operation.parts.items():
            setattr(self, name, part)

    def forward(self, image: Tensor) -> Tensor:
        result = self.function(self, self.first(image))
        is_map = result.ndim == 4 and result.shape[1] == CHANNELS and result.is_floating_point()
        return self.last(result) if is_map else result


def _rows(x: Tensor) -> Tensor:
    """Return a sequence (1, 40, 8) of a map's columns."""
    return x.mean(2).transpose(1, 2)


def _grid_sample(module: Any, x: Tensor) -> Tensor:
    return F.grid_sample(x, module.grid(x)[:, :2].permute(0, 2, 3, 1), align_corners=False)


def _of(function: Callable[[Tensor], Tensor]) -> Operation:
    return Operation(lambda _, x: function(x))


def _layer(part: nn.Module) -> Operation:
    return Operation(lambda module, x: module.part(x), {"part": part})


ACTIVATIONS = {
    "mish": _of(F.mish),
    "gelu": _of(F.gelu),
    "gelu by tanh": _of(lambda x: F.gelu(x, approximate="tanh")),
    "selu": _of(F.selu),
    "celu": _of(lambda x: F.celu(x, 0.7)),
    "prelu": _layer(nn.PReLU(CHANNELS)),
    "prelu of a vector": Operation(
        lambda m, x: m.part(x.mean((2, 3))), {"part": nn.PReLU(CHANNELS)}
    ),
    "softsign": _of(F.softsign),
    "softplus": _of(F.softplus),
    "hardtanh": _of(lambda x: F.hardtanh(x, -0.5, 0.7)),
    "glu": _of(lambda x: F.glu(x, 1)),
    "logsigmoid": _of(F.logsigmoid),
    "tanhshrink": _of(F.tanhshrink),
    "hardshrink": _of(F.hardshrink),
    "softshrink": _of(F.softshrink),
    "threshold": _of(lambda x: F.threshold(x, 0.1, 0.2)),
    "rrelu": _of(F.rrelu),
}

NORMS = {
    "group_norm": _layer(nn.GroupNorm(4, CHANNELS)),
    "instance_norm": _layer(nn.InstanceNorm2d(CHANNELS, affine=True)),
    "local_response_norm": _layer(nn.LocalResponseNorm(5)),
    "layer_norm of a map": _of(lambda x: F.layer_norm(x, x.shape[1:])),
    "rms_norm": _of(lambda x: F.rms_norm(x.permute(0, 2, 3, 1), (CHANNELS,)).permute(0, 3, 1, 2)),
    "normalize": _of(lambda x: F.normalize(x.mean((2, 3)))),
    "weight_norm": _layer(nn.utils.parametrizations.weight_norm(nn.Conv2d(CHANNELS, 8, 3))),
    "spectral_norm": _layer(nn.utils.parametrizations.spectral_norm(nn.Conv2d(CHANNELS, 8, 3))),
}

CONVOLUTIONS = {
    "dilated": _layer(nn.Conv2d(CHANNELS, 8, 3, padding=4, dilation=4)),
    "grouped, same": _layer(nn.Conv2d(CHANNELS, 8, 3, groups=4, padding="same")),
    "asymmetric": _layer(nn.Conv2d(CHANNELS, 8, (1, 7), stride=(1, 2), padding=(0, 3))),
    "reflecting": _layer(nn.Conv2d(CHANNELS, 8, 3, padding=1, padding_mode="reflect")),
    "transposed": _layer(nn.ConvTranspose2d(CHANNELS, 8, 4, 2, 1)),
    "transposed, output padding": _layer(
        nn.ConvTranspose2d(CHANNELS, 8, 3, 2, 1, output_padding=1)
    ),
    "transposed, depthwise": _layer(nn.ConvTranspose2d(CHANNELS, 8, 2, 2, groups=8)),
    "conv1d": Operation(lambda m, x: m.part(x.flatten(2)), {"part": nn.Conv1d(CHANNELS, 6, 5)}),
    "conv3d": Operation(
        lambda m, x: m.part(x.unsqueeze(1)).flatten(1, 2), {"part": nn.Conv3d(1, 2, 3, padding=1)}
    ),
}

POOLS = {
    "adaptive_avg_pool": _of(lambda x: F.adaptive_avg_pool2d(x, (5, 7))),
    "adaptive_max_pool": _of(lambda x: F.adaptive_max_pool2d(x, (5, 7))),
    "adaptive_max_pool of all": _of(lambda x: F.adaptive_max_pool2d(x, 1)),
    "avg_pool, padding": _of(lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "avg_pool, padding not counted": _of(
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    ),
    "avg_pool, ceil": _of(lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True)),
    "max_pool, ceil": _of(lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
    "max_pool, dilated": _of(lambda x: F.max_pool2d(x, 3, 1, 1, dilation=2)),
    "lp_pool": _of(lambda x: F.lp_pool2d(x.abs(), 2, 2)),
}

RESIZES = {
    "pixel_shuffle": _of(lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": _of(lambda x: F.pixel_unshuffle(x, 2)),
    "channel_shuffle": _of(lambda x: F.channel_shuffle(x, 4)),
    "bicubic": _of(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    "bilinear, aligned corners": _of(
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    ),
    "bilinear, 1.5 times": _of(lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear")),
    "bilinear, smaller": _of(lambda x: F.interpolate(x, size=(13, 17), mode="bilinear")),
    "bilinear, antialiased": _of(
        lambda x: F.interpolate(x, size=(13, 17), mode="bilinear", antialias=True)
    ),
    "nearest-exact": _of(lambda x: F.interpolate(x, size=(50, 70), mode="nearest-exact")),
    "area": _of(lambda x: F.interpolate(x, size=(10, 10), mode="area")),
    "grid_sample": Operation(_grid_sample, {"grid": nn.Conv2d(CHANNELS, 8, 1)}),
}

MOVES = {
    "pad, reflect": _of(lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect")),
    "pad, replicate": _of(lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate")),
    "pad, circular": _of(lambda x: F.pad(x, (1, 2, 3, 1), mode="circular")),
    "pad, constant": _of(lambda x: F.pad(x, (1, 2, 3, 1), value=0.5)),
    "pad, negative": _of(lambda x: F.pad(x, (-1, -2, -3, -1))),
    "unfold": _of(lambda x: F.unfold(x, 4, stride=4)),
    "fold": _of(lambda x: F.fold(F.unfold(x, 4, stride=4).relu(), x.shape[-2:], 4, stride=4)),
    "fold, overlapping": _of(
        lambda x: F.fold(F.unfold(x, 3, padding=1).relu(), x.shape[-2:], 3, padding=1)
    ),
    "roll": _of(lambda x: x.roll((2, 3), (2, 3))),
    "flip": _of(lambda x: x.flip(3)),
    "index": _of(lambda x: x[:, [3, 1, 7]]),
    "slices": _of(lambda x: x[:, :, ::2, 1::3]),
    "space to depth": _of(lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1)),
    "repeat": _of(lambda x: x.repeat(1, 1, 2, 1)),
    "repeat_interleave": _of(lambda x: x.repeat_interleave(2, 2)),
    "chunk": _of(lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1]),
    "where": _of(lambda x: torch.where(x > 0.1, x, x * x)),
    "masked_fill": _of(lambda x: x.masked_fill(x < 0, -2.0)),
    "embedding": Operation(
        lambda m, x: m.part((x.amax((2, 3)).abs() * 9).long().clamp(0, 9)),
        {"part": nn.Embedding(10, 4)},
    ),
}

REDUCTIONS = {
    "std": _of(lambda x: x.std((2, 3))),
    "var": _of(lambda x: x.var((2, 3), correction=0)),
    "amax": _of(lambda x: x.amax((2, 3))),
    "max of channels": _of(lambda x: x.max(1).values),
    "argmax": _of(lambda x: x.argmax(1).float()),
    "log_softmax": _of(lambda x: F.log_softmax(x.mean((2, 3)), 1)),
    "logsumexp": _of(lambda x: x.logsumexp((2, 3))),
    "prod": _of(lambda x: x.tanh().mean((2, 3)).prod(1, keepdim=True)),
    "median": _of(lambda x: x.mean((2, 3)).median(1).values),
    "topk": _of(lambda x: x.flatten(1).topk(5).values),
    "sort": _of(lambda x: x.mean((2, 3)).sort(1).values),
    "cumsum": _of(lambda x: x.cumsum(2)),
}

ARITHMETIC = {
    "erf": _of(torch.erf),
    "pow": _of(lambda x: x.abs() ** 1.7),
    "atan2": _of(lambda x: torch.atan2(x, x.roll(1, 1) + 3)),
    "round": _of(lambda x: torch.round(x * 3)),
    "floor": _of(lambda x: torch.floor(x * 3) / 3),
    "remainder": _of(lambda x: torch.remainder(x, 0.7)),
    "einsum": _of(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)),
    "matmul": _of(lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2)),
    "bilinear layer": Operation(
        lambda m, x: m.part(x.mean((2, 3)), x.amax((2, 3))), {"part": nn.Bilinear(8, 8, 5)}
    ),
    "fft": _of(lambda x: torch.fft.rfft2(x).abs()),
}

SEQUENCES = {
    "lstm": Operation(
        lambda m, x: m.part(_rows(x))[0],
        {"part": nn.LSTM(CHANNELS, 6, batch_first=True, bidirectional=True)},
    ),
    "gru": Operation(
        lambda m, x: m.part(_rows(x))[0], {"part": nn.GRU(CHANNELS, 6, batch_first=True)}
    ),
    "multihead attention": Operation(
        lambda m, x: m.part(*[_rows(x)] * 3)[0],
        {"part": nn.MultiheadAttention(CHANNELS, 2, batch_first=True)},
    ),
    "transformer encoder": Operation(
        lambda m, x: m.part(_rows(x)),
        {"part": nn.TransformerEncoderLayer(CHANNELS, 2, 16, batch_first=True)},
    ),
}

OPERATIONS: dict[str, Operation] = (
    ACTIVATIONS | NORMS | CONVOLUTIONS | POOLS | RESIZES | MOVES | REDUCTIONS | ARITHMETIC
    | SEQUENCES
)  # fmt: skip


def outcome(name: str, targets: tuple[str, ...]) -> Outcome:
    """Return by target the smallest SNR in dB, or why there is no artifact.

    Raises:
        LolvitError: the network cannot be exported to any target.
    """
    torch.manual_seed(0)
    return exported(Network(OPERATIONS[name]).eval(), targets, size=SIZE, trained=True)


if __name__ == "__main__":
    command(OPERATIONS, outcome)()
