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
    parts: Mapping[str, nn.Module | nn.Parameter] = field(default_factory=dict)


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


def _assign(x: Tensor) -> Tensor:
    result = x.clone()
    result[:, 2:5, 3:-3] = 0.5
    result[:, 0] *= 2
    return result


def _with_coordinates(x: Tensor) -> Tensor:
    height, width = (torch.linspace(-1, 1, extent) for extent in x.shape[2:])
    rows, columns = torch.meshgrid(height, width, indexing="ij")
    return torch.cat([x[:, :6], rows[None, None], columns[None, None]], 1)


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
    "transposed, one axis": Operation(
        lambda m, x: m.part(x.flatten(2)), {"part": nn.ConvTranspose1d(CHANNELS, 6, 4, 2, 1)}
    ),
    "circular": _layer(nn.Conv2d(CHANNELS, 8, 3, padding=1, padding_mode="circular")),
    "of a computed kernel": _of(
        lambda x: F.conv2d(x, F.adaptive_avg_pool2d(x, 3).transpose(0, 1), padding=1, groups=8)
    ),
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
    "max_pool, dilated, ceil": _of(lambda x: F.max_pool2d(x, 2, 2, 1, 3, ceil_mode=True)),
    "max_pool, one axis": _of(lambda x: F.max_pool1d(x.flatten(2), 3, 2)),
    "max_pool, three axes": _of(lambda x: F.max_pool3d(x.unsqueeze(1), 2).flatten(1, 2)),
    "max_unpool": _of(lambda x: F.max_unpool2d(*F.max_pool2d(x.relu(), 2, return_indices=True), 2)),
    "avg_pool, one axis": _of(lambda x: F.avg_pool1d(x.flatten(2), 3, 2, 1)),
    "adaptive_avg_pool, one axis": _of(lambda x: F.adaptive_avg_pool1d(x.flatten(2), 7)),
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
    "nearest, 2.5 times": _of(lambda x: F.interpolate(x, scale_factor=2.5)),
    "trilinear": _of(
        lambda x: F.interpolate(x[:, None], size=(4, 15, 20), mode="trilinear").flatten(1, 2)
    ),
    "linear": _of(lambda x: F.interpolate(x.flatten(2), size=300, mode="linear")),
    "affine_grid": Operation(
        lambda m, x: F.grid_sample(
            x, F.affine_grid(m.part(x).view(-1, 2, 3), [*x.shape], False), align_corners=False
        ),
        {"part": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 6))},
    ),
    "grid_sample, nearest, border": Operation(
        lambda m, x: F.grid_sample(
            x, m.grid(x).tanh().permute(0, 2, 3, 1), "nearest", "border", align_corners=True
        ),
        {"grid": nn.Conv2d(CHANNELS, 2, 1)},
    ),
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
    "tensor unfold": _of(lambda x: x.unfold(2, 5, 5).unfold(3, 8, 4).flatten(4).mean(4)),
    "index_fill": _of(lambda x: x.index_fill(1, torch.tensor([1, 3]), 0.5)),
    "index_copy": _of(lambda x: x.index_copy(1, torch.tensor([3, 1]), x[:, :2] * 2)),
    "index_add": _of(lambda x: x.index_add(1, torch.tensor([3, 1]), x[:, :2])),
    "scatter": _of(lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0)),
    "scatter_add": _of(
        lambda x: torch.zeros_like(x).scatter_add(1, x.argmax(1, keepdim=True).expand_as(x), x)
    ),
    "assignment to a slice": _of(_assign),
    "gather": _of(lambda x: x.gather(1, x.argmax(1, keepdim=True))),
    "one_hot": _of(lambda x: F.one_hot(x.argmax(1), CHANNELS).permute(0, 3, 1, 2) * x),
    "rot90": _of(lambda x: x.rot90(1, (2, 3))),
    "tril": _of(lambda x: x.tril(2)),
    "triu": _of(lambda x: x.triu(-1)),
    "diagonal": _of(lambda x: x.diagonal(0, 2, 3)),
    "meshgrid": _of(_with_coordinates),
    "tensor_split": _of(lambda x: torch.cat(x.tensor_split(3, 2)[::-1], 2)),
    "unbind, stack": _of(lambda x: torch.stack(x.unbind(1)[::-1], 1)),
    "movedim": _of(lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1)),
    "as_strided": _of(lambda x: x.contiguous().as_strided((1, 8, 15, 20), (9600, 1200, 80, 2))),
    "window partition": _of(
        lambda x: x.view(1, 8, 3, 10, 4, 10).permute(0, 2, 4, 3, 5, 1).flatten(1, 4).softmax(1)
    ),
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
    "prod of columns": _of(lambda x: (x.tanh() + 1).prod(3)),
    "prod of all": _of(lambda x: (x.tanh().mean((2, 3)) + 1).prod().view(1, 1)),
    "kthvalue": _of(lambda x: x.mean((2, 3)).kthvalue(3, 1).values),
    "min": _of(lambda x: x.min(1).values),
    "aminmax": _of(lambda x: x.aminmax(dim=1).max),
    "any, all": _of(lambda x: (x > 0).any(1).float() + (x > 0).all(1).float()),
    "norm": _of(lambda x: x.norm(dim=1)),
    "norm of order 1": _of(lambda x: x.norm(p=1, dim=(2, 3))),
    "cumsum": _of(lambda x: x.cumsum(2)),
    "cumprod": _of(lambda x: (x.tanh() + 1).cumprod(1)),
    "softmin": _of(lambda x: F.softmin(x, 1)),
    "softargmax": _of(lambda x: (x.flatten(2).softmax(2) * torch.linspace(0, 1, 1200)).sum(2)),
    "cosine_similarity": _of(lambda x: F.cosine_similarity(x, x.roll(1, 1), 1)),
    "cdist": _of(lambda x: torch.cdist(x.flatten(2), x.flatten(2).roll(1, 1))),
}

ARITHMETIC = {
    "erf": _of(torch.erf),
    "pow": _of(lambda x: x.abs() ** 1.7),
    "atan2": _of(lambda x: torch.atan2(x, x.roll(1, 1) + 3)),
    "round": _of(lambda x: torch.round(x * 3)),
    "ceil": _of(lambda x: torch.ceil(x * 3) / 3),
    "floor": _of(lambda x: torch.floor(x * 3) / 3),
    "remainder": _of(lambda x: torch.remainder(x, 0.7)),
    "einsum": _of(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)),
    "matmul": _of(lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2)),
    "lerp": _of(lambda x: torch.lerp(x, x.roll(1, 1), 0.3)),
    "addcmul": _of(lambda x: torch.addcmul(x, x, x.roll(1, 1), value=0.5)),
    "baddbmm": _of(lambda x: torch.baddbmm(x[0], x[0, :, :, :4], x[0, :, :4])[None]),
    "clamp by tensors": _of(lambda x: x.clamp(x.roll(1, 1) - 0.1, x.roll(1, 1) + 0.1)),
    "nan_to_num": _of(lambda x: (x / x.relu()).nan_to_num(0.0, 1.0, -1.0)),
    "floor division": _of(lambda x: (x * 5) // 2),
    "fmod": _of(lambda x: torch.fmod(x, 0.7)),
    "trunc, frac": _of(lambda x: (x * 3).trunc() + (x * 3).frac()),
    "sign, rsqrt": _of(lambda x: x.sign() * x.abs().add(0.1).rsqrt()),
    "sinh, atan": _of(lambda x: x.sinh() + x.cosh() + x.atan() + x.tanh().asin() + x.asinh()),
    "log1p, expm1": _of(lambda x: x.abs().log1p() + x.expm1() + x.exp2() + x.abs().log2()),
    "logical": _of(lambda x: ((x > 0) ^ (x > 0.1)).logical_not().float() * x),
    "maximum, minimum": _of(lambda x: x.maximum(x.roll(1, 1)).minimum(x.new_tensor(0.3))),
    "hypot": _of(lambda x: torch.hypot(x, x.roll(1, 1))),
    "erfinv": _of(lambda x: x.tanh().mul(0.9).erfinv()),
    "logit": _of(lambda x: x.sigmoid().logit(1e-6)),
    "outer product": _of(lambda x: x.mean((2, 3))[:, :, None] * x.amax((2, 3))[:, None]),
    "tensordot": _of(lambda x: torch.tensordot(x, x[0, :, 0], ([1], [0]))),
    "cross": _of(lambda x: torch.linalg.cross(x[:, :3], x[:, 3:6], dim=1)),
    "bucketize": _of(lambda x: torch.bucketize(x, torch.tensor([-0.1, 0.0, 0.2])).float()),
    "bilinear layer": Operation(
        lambda m, x: m.part(x.mean((2, 3)), x.amax((2, 3))), {"part": nn.Bilinear(8, 8, 5)}
    ),
    "fft": _of(lambda x: torch.fft.rfft2(x).abs()),
    "fft, filtered": Operation(
        lambda m, x: torch.fft.irfft2(
            torch.fft.rfft2(x) * torch.view_as_complex(m.filter), x.shape[2:]
        ),
        {"filter": nn.Parameter(torch.randn(8, 30, 21, 2))},
    ),
}

SEQUENCES = {
    "lstm": Operation(
        lambda m, x: m.part(_rows(x))[0],
        {"part": nn.LSTM(CHANNELS, 6, batch_first=True, bidirectional=True)},
    ),
    "gru": Operation(
        lambda m, x: m.part(_rows(x))[0], {"part": nn.GRU(CHANNELS, 6, batch_first=True)}
    ),
    "rnn": Operation(
        lambda m, x: m.part(_rows(x))[0], {"part": nn.RNN(CHANNELS, 6, batch_first=True)}
    ),
    "lstm cell": Operation(
        lambda m, x: m.part(x.mean((2, 3)))[0], {"part": nn.LSTMCell(CHANNELS, 6)}
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
