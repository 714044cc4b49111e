"""MIL programs of one operation, written by hand: what no torch module is converted to.

`PROGRAMS[name]` is (the operation on `x` of shape (1, 4, 6, 5), the same in torch).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.coreml_tools import coremltools as ct

mb = ct.converters.mil.Builder
SHAPE = (1, 4, 6, 5)
Row = tuple[Callable[[Any], Any], Callable[[Tensor], Tensor]]

_random = np.random.default_rng(7)
WEIGHT = _random.standard_normal((3, 4, 3, 2)).astype(np.float32)
GAMMA, BETA = (_random.standard_normal((4, 6)).astype(np.float32) for _ in range(2))
MATRIX = _random.standard_normal((1, 5, 6, 3)).astype(np.float32)
SCALES = np.array([0.01, 0.02, 0.05, 0.03], np.float32)


def weight() -> Tensor:
    return torch.from_numpy(WEIGHT)


def _normalize_rows(x: Tensor) -> Tensor:
    """Normalise over the channels and the rows of each column."""
    normal = (x - x.mean((1, 2), keepdim=True)) / (
        x.var((1, 2), keepdim=True, unbiased=False) + 1e-3
    ).sqrt()
    shape = (1, 4, 6, 1)
    return normal * torch.from_numpy(GAMMA).view(shape) + torch.from_numpy(BETA).view(shape)


def _average_inside(x: Tensor, padding: tuple[int, ...], kernel: int, stride: int) -> Tensor:
    sums = F.avg_pool2d(F.pad(x, padding), kernel, stride)
    return sums / F.avg_pool2d(F.pad(torch.ones_like(x), padding), kernel, stride)


def _slice(x: Any, begin: list[int], end: list[int], **masks: Any) -> Any:
    return mb.slice_by_index(x=x, begin=begin, end=end, **masks)


def _means(x: Any) -> Any:
    return mb.reduce_mean(x=x, axes=[0, 1, 2], keep_dims=False)


def _places(x: Any) -> Any:
    """Return the rows of the two largest values of each column."""
    rows = mb.topk(x=x, k=2, axis=2, ascending=False)[1]
    return mb.cast(x=rows, dtype="int32")


def _torch_places(x: Tensor) -> Tensor:
    return x.topk(2, 2).indices


def _fp32(x: Any) -> Any:
    return mb.cast(x=x, dtype="fp32")


def _steps(x: Any, output_dtype: str = "int8", **options: Any) -> Any:
    """Round to 8 bits and back."""
    steps = mb.quantize(input=x, output_dtype=output_dtype, **options)
    return mb.dequantize(input=steps, **options)


def _on_grid(x: Tensor, scale: Any, zero_point: Any, low: int = -128) -> Tensor:
    """Round to a grid of 256 values."""
    return ((x / scale).round() + zero_point).clamp(low, low + 255).sub(zero_point).mul(scale)


CONVOLUTIONS: dict[str, Row] = {
    "conv_same": (
        lambda x: mb.conv(x=x, weight=WEIGHT, strides=[2, 2], pad_type="same"),
        lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), weight(), stride=2),
    ),
    "conv_same_lower": (
        lambda x: mb.conv(x=x, weight=WEIGHT, strides=[2, 2], pad_type="same_lower"),
        lambda x: F.conv2d(F.pad(x, (1, 0, 1, 0)), weight(), stride=2),
    ),
    "conv_padded_unevenly": (
        lambda x: mb.conv(x=x, weight=WEIGHT, pad_type="custom", pad=[2, 0, 1, 3]),
        lambda x: F.conv2d(F.pad(x, (1, 3, 2, 0)), weight()),
    ),
    "einsum": (
        lambda x: mb.einsum(values=(x, mb.const(val=MATRIX)), equation="nchw,nwhu->nchu"),
        lambda x: torch.einsum("nchw,nwhu->nchu", x, torch.from_numpy(MATRIX)),
    ),
}

POOLS: dict[str, Row] = {
    "avg_pool_same": (
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="same"),
        lambda x: F.avg_pool2d(F.pad(x, (1, 1, 0, 1)), 3, 2),
    ),
    "avg_pool_same_lower_inside": (
        lambda x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="same_lower",
            exclude_padding_from_average=True,
        ),
        lambda x: _average_inside(x, (1, 1, 1, 0), 3, 2),
    ),
    "max_pool_padded_unevenly": (
        lambda x: mb.max_pool(
            x=mb.sub(x=x, y=9.0), kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom",
            pad=[2, 0, 0, 1],
        ),
        lambda x: F.max_pool2d(F.pad(x - 9, (0, 1, 2, 0), value=-torch.inf), 3, 2),
    ),
}  # fmt: skip

FUNCTIONS: dict[str, Row] = {
    "inverse": (
        lambda x: mb.inverse(x=mb.exp(x=x), epsilon=0.5), lambda x: 1 / (x.exp() + 0.5)
    ),
    "log_with_epsilon": (
        lambda x: mb.log(x=mb.abs(x=x), epsilon=0.5), lambda x: (x.abs() + 0.5).log()
    ),
    "rsqrt_with_epsilon": (
        lambda x: mb.rsqrt(x=mb.abs(x=x), epsilon=0.5), lambda x: (x.abs() + 0.5).rsqrt()
    ),
    "mod": (lambda x: mb.mod(x=x, y=0.7), lambda x: torch.remainder(x, 0.7)),
    "gelu_tanh": (
        lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "layer_norm_of_leading_axes": (
        lambda x: mb.layer_norm(x=x, axes=[1, 2], gamma=GAMMA, beta=BETA, epsilon=1e-3),
        _normalize_rows,
    ),
    "cumsum_exclusive": (
        lambda x: mb.cumsum(x=x, axis=2, exclusive=True), lambda x: x.cumsum(2) - x
    ),
    "cumsum_reverse": (
        lambda x: mb.cumsum(x=x, axis=3, reverse=True), lambda x: x.flip(3).cumsum(3).flip(3)
    ),
    "cumsum_exclusive_reverse": (
        lambda x: mb.cumsum(x=x, axis=3, exclusive=True, reverse=True),
        lambda x: x.flip(3).cumsum(3).flip(3) - x,
    ),
    "reduce_log_sum": (
        lambda x: mb.reduce_log_sum(x=mb.exp(x=x), axes=[1, 3]), lambda x: x.exp().sum((1, 3)).log()
    ),
    "reduce_sum_square": (
        lambda x: mb.reduce_sum_square(x=x, axes=[2], keep_dims=True),
        lambda x: x.square().sum(2, keepdim=True),
    ),
    "reduce_prod": (lambda x: mb.reduce_prod(x=x, axes=[1, -1]), lambda x: x.prod(1).prod(-1)),
    "reduce_l1_norm": (lambda x: mb.reduce_l1_norm(x=x, axes=[-1]), lambda x: x.abs().sum(3)),
    "l2_norm": (
        lambda x: mb.l2_norm(x=x, epsilon=0.5),
        lambda x: x / (x.square().sum((1, 2, 3), keepdim=True) + 0.5).sqrt(),
    ),
    "local_response_norm": (
        lambda x: mb.local_response_norm(x=x, size=3, alpha=0.3, beta=0.6, k=1.5),
        lambda x: F.local_response_norm(x, 3, 0.3, 0.6, 1.5),
    ),
    "softsign": (lambda x: mb.softsign(x=x), F.softsign),
    "scaled_tanh": (
        lambda x: mb.scaled_tanh(x=x, alpha=1.3, beta=0.7), lambda x: 1.3 * (0.7 * x).tanh()
    ),
    "logical_xor": (
        lambda x: _fp32(mb.logical_xor(x=mb.greater(x=x, y=0.5), y=mb.less(x=x, y=1.0))),
        lambda x: ((x > 0.5) ^ (x < 1)).float(),
    ),
    "reduce_sum_of_all": (
        lambda x: mb.reduce_sum(x=x, keep_dims=True), lambda x: x.sum().view(1, 1, 1, 1)
    ),
    "cast_to_bool": (
        lambda x: _fp32(mb.cast(x=mb.relu(x=x), dtype="bool")), lambda x: (x > 0).float()
    ),
}  # fmt: skip

MOVES: dict[str, Row] = {
    "slice_with_masks": (
        lambda x: _slice(
            x, [0, 1, 3, 2], [9, 3, 2, 4],
            begin_mask=[True, False, True, False], end_mask=[True, False, False, True],
        ),
        lambda x: x[:, 1:3, :2, 2:],
    ),
    "slice_backwards": (
        lambda x: _slice(
            x, [0, 0, 5, 0], [1, 4, 0, 5], stride=[1, 1, -2, -1],
            begin_mask=[False, False, False, True], end_mask=[False, False, False, True],
        ),
        lambda x: x.flip(2)[:, :, 0:5:2].flip(3),
    ),
    "slice_of_one_index": (
        lambda x: _slice(x, [0, -2, 0, 1], [1, 0, 6, 9], squeeze_mask=[False, True, False, False]),
        lambda x: x[:, -2, :, 1:],
    ),
    "squeeze_of_all": (lambda x: mb.squeeze(x=x), lambda x: x.squeeze(0)),
    "expand_dims_at_both_ends": (
        lambda x: mb.expand_dims(x=mb.squeeze(x=x, axes=[0]), axes=[0, -1]),
        lambda x: x.unsqueeze(-1),
    ),
    "reshape_keeping_an_axis": (
        lambda x: mb.reshape(x=x, shape=[0, 0, 10, -1]), lambda x: x.reshape(1, 4, 10, 3)
    ),
    "gather_from_the_end": (
        lambda x: mb.gather(x=x, indices=[[-1, 0], [2, -3]], axis=1),
        lambda x: x[:, [[-1, 0], [2, -3]]],
    ),
    "gather_along_the_only_axis": (
        lambda x: mb.gather_along_axis(x=_means(x), indices=[-1, 0, 2], axis=0),
        lambda x: x.mean((0, 1, 2))[[-1, 0, 2]],
    ),
    "gather_one": (lambda x: mb.gather(x=x, indices=2, axis=-1), lambda x: x[..., 2]),
    "split_by_sizes": (
        lambda x: mb.concat(values=mb.split(x=x, split_sizes=[1, 4, 1], axis=2)[::2], axis=3),
        lambda x: torch.cat([x[:, :, :1], x[:, :, 5:]], 3),
    ),
    "slice_by_size": (
        lambda x: mb.slice_by_size(x=x, begin=[0, 1, -3, 2], size=[1, 2, 2, -1]),
        lambda x: x[:, 1:3, 3:5, 2:],
    ),
    "space_to_depth": (
        lambda x: mb.space_to_depth(x=_slice(x, [0] * 4, [1, 4, 6, 4]), block_size=2),
        lambda x: torch.cat([x[..., r::2, c:4:2] for r in (0, 1) for c in (0, 1)], 1),
    ),
    "depth_to_space": (
        lambda x: mb.depth_to_space(
            x=mb.space_to_depth(x=_slice(x, [0] * 4, [1, 4, 6, 4]), block_size=2), block_size=2
        ),
        lambda x: x[..., :4],
    ),
    "fill_like": (
        lambda x: mb.add(x=x, y=_fp32(mb.fill_like(ref_tensor=x, value=3))), lambda x: x + 3
    ),
    "one_hot": (
        lambda x: mb.one_hot(
            indices=mb.reduce_argmax(x=x, axis=2), one_hot_vector_size=6, axis=1, on_value=2.0,
            off_value=-1.0,
        ),
        lambda x: 3 * F.one_hot(x.argmax(2), 6).movedim(-1, 1).float() - 1,
    ),
    "upper_band": (lambda x: mb.band_part(x=x, lower=1, upper=-1), lambda x: x.triu(-1)),
    "lower_band": (lambda x: mb.band_part(x=x, lower=-1, upper=2), lambda x: x.tril(2)),
    **{
        f"scatter_{mode}": (
            lambda x, mode=mode: mb.scatter_along_axis(
                data=x, indices=_places(x), updates=_slice(x, [0, 0, 2, 0], [1, 4, 4, 5]), axis=2,
                mode=mode,
            ),
            expected,
        )
        for mode, expected in {
            "update": lambda x: x.scatter(2, _torch_places(x), x[:, :, 2:4]),
            "add": lambda x: x.scatter_add(2, _torch_places(x), x[:, :, 2:4]),
            "max": lambda x: x.scatter_reduce(2, _torch_places(x), x[:, :, 2:4], "amax"),
        }.items()
    },
    "concat_interleaved": (
        lambda x: mb.concat(values=(x, mb.mul(x=x, y=2.0), mb.relu(x=x)), axis=-3, interleave=True),
        lambda x: torch.stack((x, 2 * x, x.relu()), 2).flatten(1, 2),
    ),
    "scatter_slices": (
        lambda x: mb.scatter(
            data=x, indices=[3, -1, 0], updates=_slice(x, [0, 0, 0, 0], [1, 4, 3, 5]), axis=2,
            mode="update",
        ),
        lambda x: x.index_copy(2, torch.tensor([3, 5, 0]), x[:, :, :3]),
    ),
    "scatter_added_slices": (
        lambda x: mb.scatter(
            data=x, indices=[3, 3], updates=_slice(x, [0, 0, 0, 0], [1, 4, 6, 2]), axis=-1,
            mode="add",
        ),
        lambda x: x.index_add(3, torch.tensor([3, 3]), x[..., :2]),
    ),
    "scatter_nd": (
        lambda x: mb.scatter_nd(
            data=mb.squeeze(x=x, axes=[0]), indices=[[0, -1], [3, 2], [0, -1]],
            updates=_slice(x, [0, 0, 0, 0], [1, 1, 3, 5], squeeze_mask=[True, True, False, False]),
            mode="add",
        ),
        lambda x: x[0].index_put(
            (torch.tensor([0, 3, 0]), torch.tensor([5, 2, 5])), x[0, 0, :3], accumulate=True
        ),
    ),
    "tile": (lambda x: mb.tile(x=x, reps=[1, 2, 1, 3]), lambda x: x.tile(1, 2, 1, 3)),
}  # fmt: skip

# What iOS 17 added.
INTEGERS: dict[str, Row] = {
    "quantize_by_channel": (
        lambda x: _steps(x, scale=SCALES, zero_point=np.array([0, -3, 7, 100], np.int8), axis=1),
        lambda x: _on_grid(
            x,
            torch.from_numpy(SCALES).view(1, 4, 1, 1),
            torch.tensor([0, -3, 7, 100.0]).view(1, 4, 1, 1),
        ),
    ),
    "quantize_without_sign": (
        lambda x: _steps(x, scale=np.float32(0.05), zero_point=np.uint8(30), output_dtype="uint8"),
        lambda x: _on_grid(x, 0.05, 30.0, 0),
    ),
    "quantize_halves_to_even": (
        lambda x: _steps(mb.floor(x=mb.mul(x=x, y=3.0)), scale=np.float32(2)),
        lambda x: 2 * ((x * 3).floor() / 2).round(),
    ),
    "quantize_beyond_the_range": (
        lambda x: _steps(x, scale=np.float32(0.004)),
        lambda x: 0.004 * (x / 0.004).round().clamp(-128, 127),
    ),
}

PROGRAMS: dict[str, Row] = CONVOLUTIONS | POOLS | FUNCTIONS | MOVES | INTEGERS


def target(name: str) -> Any:
    """Return the first system that has a program's operations, of those that are written for."""
    return ct.target.iOS17 if name in INTEGERS else ct.target.iOS16


def build(name: str) -> Any:
    """Return a MIL program of one input `image` and one output `logits`."""
    operation, _ = PROGRAMS[name]

    @mb.program(input_specs=[mb.TensorSpec(shape=SHAPE)], opset_version=target(name))
    def program(image: Any) -> Any:
        return mb.identity(x=operation(image), name="logits")

    return program
