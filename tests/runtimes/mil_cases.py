"""One-operation modules for each MIL operation: what torch computes is what the package must give.

`WANTED[name]` is (operations that must occur, formula, modules with weights); all take the same
input of shape (1, 8, 12, 10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.runtimes.coreml_packages import Formula

SHAPE = (1, 8, 12, 10)
Row = tuple[str, Callable[..., Tensor]] | tuple[str, Callable[..., Tensor], Callable[[], nn.Module]]


def _call(x: Tensor, module: nn.Module) -> Tensor:
    return module(x)


def _statistics(norm: nn.Module) -> nn.Module:
    """Give a normalisation weights and statistics other than 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for value in norm.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return norm


def _slopes() -> nn.Module:
    module = nn.PReLU(8)
    module.weight.data = torch.linspace(-0.5, 0.5, 8)
    return module


ARITHMETIC: dict[str, Row] = {
    "add": ("add", lambda x: x + x.mean(1, keepdim=True)),
    "add_constant": ("add", lambda x: x + 0.75),
    "sub": ("sub", lambda x: x - x.mean(1, keepdim=True)),
    "sub_from_constant": ("sub", lambda x: 2 - x),
    "mul": ("mul", lambda x: x * x.mean(1, keepdim=True)),
    "real_div": ("real_div", lambda x: x / (x.abs() + 1)),
    "floor_div": ("floor_div", lambda x: torch.floor_divide(x, x.abs() + 0.3)),
    "remainder": ("floor_div mul sub", lambda x: torch.remainder(x, 0.7)),
    "pow": ("pow", lambda x: x**2),
    "pow_fraction": ("pow", lambda x: (x.abs() + 0.1) ** 1.5),
    "maximum": ("maximum", lambda x: torch.maximum(x, x.mean(1, keepdim=True))),
    "minimum": ("minimum", lambda x: torch.minimum(x, x.mean(1, keepdim=True))),
    "abs": ("abs", lambda x: x.abs()),
    "sign": ("sign", lambda x: x.sign()),
    "square": ("square", lambda x: x.var(1)),
    "sqrt": ("sqrt", lambda x: (x.abs() + 0.1).sqrt()),
    "rsqrt": ("rsqrt", lambda x: (x.abs() + 0.1).rsqrt()),
    "exp": ("exp", lambda x: x.exp()),
    "log": ("log", lambda x: (x.abs() + 0.1).log()),
    "sin": ("sin", lambda x: x.sin()),
    "cos": ("cos", lambda x: x.cos()),
    "erf": ("erf", lambda x: x.erf()),
    "tan": ("tan", lambda x: (x * 0.3).tan()),
    "asin": ("asin", lambda x: x.tanh().asin()),
    "acos": ("acos", lambda x: x.tanh().acos()),
    "atan": ("atan", lambda x: x.atan()),
    "sinh": ("sinh", lambda x: x.sinh()),
    "cosh": ("cosh", lambda x: x.cosh()),
    "atanh": ("atanh", lambda x: (x.tanh() * 0.9).atanh()),
    "exp2": ("exp2", lambda x: x.exp2()),
    "floor": ("floor", lambda x: (x * 3).floor()),
    "ceil": ("ceil", lambda x: (x * 3).ceil()),
    "round": ("round", lambda x: (x * 3).round()),
    "clip": ("clip", lambda x: x.clamp(-0.3, 0.4)),
    "clip_below": ("clip", lambda x: x.clamp(min=0.3)),
    "identity": ("identity", lambda x: x),
    "cast": ("cast", lambda x: (x * 4).to(torch.int32).float()),
}

COMPARISON: dict[str, Row] = {
    "greater": ("greater select", lambda x: torch.where(x > 0.1, x, -2 * x)),
    "greater_equal": ("greater_equal", lambda x: torch.where(x.sign() >= 0, x, -2 * x)),
    "less": ("less", lambda x: torch.where(x < 0.1, x, -2 * x)),
    "less_equal": ("less_equal", lambda x: torch.where(x.sign() <= 0, x, -2 * x)),
    "equal": ("equal", lambda x: torch.where(x.sign() == 1, x, -2 * x)),
    "not_equal": ("not_equal", lambda x: torch.where(x.sign() != 1, x, -2 * x)),
    "and": ("logical_and", lambda x: torch.where(torch.logical_and(x > 0, x < 1), x, -2 * x)),
    "or": ("logical_or", lambda x: torch.where(torch.logical_or(x < 0, x > 1), x, -2 * x)),
    "not": ("logical_not", lambda x: torch.where(torch.logical_not(x > 0), x, -2 * x)),
}

ACTIVATIONS: dict[str, Row] = {
    "relu": ("relu", lambda x: x.relu()),
    "relu6": ("relu6", lambda x: F.relu6(x * 4)),
    "hardtanh": ("clip", lambda x: F.hardtanh(x, -1.0, 0.5)),
    "leaky_relu": ("leaky_relu", lambda x: F.leaky_relu(x, 0.1)),
    "prelu": ("prelu", _call, _slopes),
    "elu": ("elu", lambda x: F.elu(x, 0.7)),
    "threshold": ("threshold linear_activation", lambda x: F.threshold(x, 0.1, 0.2)),
    "hardsigmoid": ("sigmoid_hard", lambda x: F.hardsigmoid(x * 3)),
    "hardswish": ("thresholded_relu sigmoid_hard mul", lambda x: F.hardswish(x * 3)),
    "sigmoid": ("sigmoid", lambda x: x.sigmoid()),
    "silu": ("silu", lambda x: F.silu(x)),
    "gelu": ("gelu", lambda x: F.gelu(x)),
    "softplus": ("softplus", lambda x: F.softplus(x)),
    "tanh": ("tanh", lambda x: x.tanh()),
    "softmax": ("softmax", lambda x: x.softmax(-1)),
    "softmax_of_channels": ("softmax", lambda x: x.softmax(1)),
}

LAYERS: dict[str, Row] = {
    "conv": ("conv", _call, lambda: nn.Conv2d(8, 16, 3, padding=1)),
    "conv_grouped_strided": ("conv", _call, lambda: nn.Conv2d(8, 16, 3, 2, 1, groups=4)),
    "conv_depthwise": ("conv", _call, lambda: nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False)),
    "conv_dilated": ("conv", _call, lambda: nn.Conv2d(8, 4, 3, 1, (2, 1), dilation=(2, 1))),
    "conv_same": ("conv", _call, lambda: nn.Conv2d(8, 4, (2, 4), padding="same")),
    "conv_padded_one_side": (
        "pad conv", lambda x, m: m(F.pad(x, (0, 1, 2, 1))), lambda: nn.Conv2d(8, 4, 3, 2)
    ),
    "conv_1d": ("conv", lambda x, m: m(x.flatten(2)), lambda: nn.Conv1d(8, 4, 3, padding=1)),
    "conv_transpose": ("conv_transpose", _call, lambda: nn.ConvTranspose2d(8, 4, 2, 2)),
    "conv_transpose_cropped": (
        "conv_transpose", _call, lambda: nn.ConvTranspose2d(8, 4, 3, 2, (1, 0), groups=2)
    ),
    "conv_transpose_longer": (
        "conv_transpose crop", _call, lambda: nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)
    ),
    "batch_norm": ("batch_norm", _call, lambda: _statistics(nn.BatchNorm2d(8))),
    "instance_norm": (
        "instance_norm", _call, lambda: _statistics(nn.InstanceNorm2d(8, affine=True))
    ),
    "layer_norm": ("layer_norm", _call, lambda: _statistics(nn.LayerNorm(10))),
    "layer_norm_of_two_axes": ("layer_norm", _call, lambda: _statistics(nn.LayerNorm((12, 10)))),
    "group_norm": ("reshape square", _call, lambda: _statistics(nn.GroupNorm(2, 8))),
    "linear": ("linear", _call, lambda: nn.Linear(10, 6)),
    "linear_without_bias": ("linear", _call, lambda: nn.Linear(10, 6, bias=False)),
    "matmul": ("matmul", lambda x: x @ x[:, :, :10]),
    "matmul_transposed_y": ("matmul", lambda x: x @ x.transpose(-1, -2)),
    "matmul_transposed_x": ("matmul", lambda x: x.transpose(-1, -2) @ x),
    "einsum": ("matmul", lambda x: torch.einsum("bchw,bcwk->bchk", x, x.transpose(2, 3))),
    "attention": ("softmax", lambda x: F.scaled_dot_product_attention(x, x, x * 2)),
}  # fmt: skip

POOLS: dict[str, Row] = {
    "avg_pool": ("avg_pool", lambda x: F.avg_pool2d(x, 2)),
    "avg_pool_with_padding": ("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "avg_pool_without_padding": (
        "avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    ),
    "avg_pool_ceil": ("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True)),
    "avg_pool_ceil_without_padding": (
        "avg_pool",
        lambda x: F.avg_pool2d(x, (5, 3), 3, 1, ceil_mode=True, count_include_pad=False),
    ),
    "avg_pool_1d": ("avg_pool", lambda x: F.avg_pool1d(x.flatten(2), 3, 2, 1)),
    "max_pool": ("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1)),
    "max_pool_ceil": ("max_pool", lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    "adaptive_pool_even": ("avg_pool", lambda x: F.adaptive_avg_pool2d(x, (4, 5))),
    "adaptive_pool_ragged": ("reduce_mean concat", lambda x: F.adaptive_avg_pool2d(x, (5, 4))),
    "adaptive_pool_global": ("reduce_mean", lambda x: F.adaptive_avg_pool2d(x, 1)),
    "bilinear": (
        "upsample_bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")
    ),
    "bilinear_to_a_size": (
        "upsample_bilinear", lambda x: F.interpolate(x, (17, 23), mode="bilinear")
    ),
    "bilinear_aligned": (
        "upsample_bilinear",
        lambda x: F.interpolate(x, (24, 25), mode="bilinear", align_corners=True),
    ),
    "grid_sample": (
        "resample", lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)
    ),
    "grid_sample_of_the_border": (
        "resample",
        lambda x: F.grid_sample(
            x, x[:, 1:3].permute(0, 2, 3, 1), "nearest", "border", align_corners=True
        ),
    ),
    "nearest": ("upsample_nearest_neighbor", lambda x: F.interpolate(x, scale_factor=(2, 3))),
}  # fmt: skip

REDUCTIONS: dict[str, Row] = {
    "reduce_mean": ("reduce_mean", lambda x: x.mean((2, 3))),
    "reduce_sum": ("reduce_sum", lambda x: x.sum(-1, keepdim=True)),
    "reduce_max": ("reduce_max", lambda x: x.amax((1, 3))),
    "reduce_min": ("reduce_min", lambda x: x.amin((2,))),
    "reduce_l2_norm": ("reduce_l2_norm maximum", lambda x: F.normalize(x, dim=1)),
    "reduce_argmax": ("reduce_argmax cast", lambda x: x.argmax(1).float()),
    "reduce_argmin": ("reduce_argmin cast", lambda x: x.argmin(1).float()),
    "reduce_log_sum_exp": ("reduce_log_sum_exp", lambda x: x.logsumexp((2, 3))),
    "topk": ("topk", lambda x: x.flatten(1).topk(5).values),
    "smallest": ("topk", lambda x: x.topk(3, 2, largest=False).values),
    "places_of_the_largest": ("topk", lambda x: x.topk(2, 3).indices.float()),
    "sort": ("argsort gather_along_axis", lambda x: x.sort(1).values),
    "cumsum": ("cumsum", lambda x: x.cumsum(1)),
}

MOVES: dict[str, Row] = {
    "reshape": ("reshape", lambda x: x.reshape(1, 4, 2, -1)),
    "transpose": ("transpose", lambda x: x.permute(0, 2, 3, 1) * 2),
    "expand_dims": ("expand_dims", lambda x: x.unsqueeze(2) * 2),
    "squeeze": ("squeeze", lambda x: x.mean(1, keepdim=True).squeeze(1)),
    "concat": ("concat", lambda x: torch.cat([x, x * 2], 1)),
    "stack": ("stack", lambda x: torch.stack([x, x * 2], 1)),
    "split_evenly": ("split", lambda x: x.chunk(2, 1)[1] - x.chunk(2, 1)[0]),
    "split_unevenly": ("split", lambda x: x.split([3, 5], 1)[1] + 1),
    "slice": ("slice_by_index", lambda x: x[:, 2:6, 1:, :-2]),
    "slice_strided": ("slice_by_index", lambda x: x[:, ::2, :, 1::3]),
    "slice_single": ("slice_by_index", lambda x: x[:, -3]),
    "gather": ("gather", lambda x: x[:, [2, 0, 7, 2]]),
    "gather_of_two_axes": ("gather_nd", lambda x: x[:, :, [1, 3, 1], [2, 0, 7]]),
    "roll": ("gather", lambda x: x.roll((1, 2), (2, 3))),
    "tile": ("tile", lambda x: x.repeat(1, 2, 1, 3)),
    "expand": ("tile", lambda x: x.mean(1, keepdim=True).expand(-1, 8, -1, -1)),
    "flip": ("reverse", lambda x: x.flip((1, 3))),
    "pad": ("pad", lambda x: F.pad(x, (0, 1, 2, 1), value=1.5)),
    "pad_reflect": ("pad", lambda x: F.pad(x, (0, 1, 2, 1), mode="reflect")),
    "pad_replicate": ("pad", lambda x: F.pad(x, (3, 1, 2, 1), mode="replicate")),
    "pixel_shuffle": ("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": ("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2)),
}

CASES: dict[str, Row] = ARITHMETIC | COMPARISON | ACTIVATIONS | LAYERS | POOLS | REDUCTIONS | MOVES


def build(name: str) -> tuple[set[str], nn.Module]:
    """Return the operations that a case must become, and its module."""
    wanted, formula, *parts = CASES[name]
    torch.manual_seed(0)
    made: list[Any] = [part() for part in parts]
    return set(wanted.split()), Formula(formula, *made).eval()
