"""Reductions. Sums are taken in float32, also in float16 programs."""

from __future__ import annotations

import torch
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints


def _axes(x: Tensor, axes: Ints | None) -> list[int]:
    """Return the axes to reduce: all of them, if none is named."""
    return list(range(x.dim())) if axes is None else ints(axes)


def reduce_mean(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.mean(_axes(x, axes), keepdim=keep_dims)


def reduce_sum(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.sum(_axes(x, axes), keepdim=keep_dims)


def reduce_max(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.amax(_axes(x, axes), keepdim=keep_dims)


def reduce_min(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.amin(_axes(x, axes), keepdim=keep_dims)


def reduce_l2_norm(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, 2, _axes(x, axes), keep_dims)
    return norm


def reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False) -> Tensor:
    return x.argmax(axis, keepdim=keep_dims)


def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running sum; `exclusive` leaves each element's own value out, `reverse` starts at the end."""
    ordered = x.flip(axis) if reverse else x
    sums = ordered.cumsum(axis)
    if exclusive:
        sums = sums.roll(1, axis)
        sums.select(axis, 0).zero_()
    return sums.flip(axis) if reverse else sums


def reduce_argmin(x: Tensor, axis: int = -1, keep_dims: bool = False) -> Tensor:
    return x.argmin(axis, keepdim=keep_dims)


def reduce_log_sum_exp(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.logsumexp(_axes(x, axes), keepdim=keep_dims)


def topk(
    x: Tensor,
    k: int,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
) -> tuple[Tensor, ...]:
    """The `k` largest, or smallest, along an axis in order, and their places."""
    values, indices = x.topk(k, axis, largest=not ascending, sorted=sort)
    return (values, indices) if return_indices else (values,)


def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    return x.argsort(axis, descending=not ascending)


def reduce_l1_norm(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.abs().sum(_axes(x, axes), keepdim=keep_dims)


def reduce_log_sum(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.sum(_axes(x, axes), keepdim=keep_dims).log()


def reduce_sum_square(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.square().sum(_axes(x, axes), keepdim=keep_dims)


def reduce_prod(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in _axes(x, axes)), reverse=True):
        x = x.prod(axis, keepdim=keep_dims)
    return x


REDUCTION: dict[str, Operation] = {
    "reduce_mean": reduce_mean,
    "reduce_sum": reduce_sum,
    "reduce_max": reduce_max,
    "reduce_min": reduce_min,
    "reduce_l2_norm": reduce_l2_norm,
    "reduce_argmax": reduce_argmax,
    "cumsum": cumsum,
    "reduce_argmin": reduce_argmin,
    "reduce_log_sum_exp": reduce_log_sum_exp,
    "topk": topk,
    "argsort": argsort,
    "reduce_l1_norm": reduce_l1_norm,
    "reduce_log_sum": reduce_log_sum,
    "reduce_sum_square": reduce_sum_square,
    "reduce_prod": reduce_prod,
}
