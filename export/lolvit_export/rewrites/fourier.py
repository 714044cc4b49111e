"""Discrete Fourier transforms of pairs of real and imaginary nodes, by products with matrices.

Along an axis of n values X_k = Σ_j x_j·exp(∓2πi·jk/n), times 1, 1/√n or 1/n (Oppenheim and Schafer,
Discrete-Time Signal Processing, section 8.5): a product with a matrix of cosines and one of sines.
Of a real x half of X is enough; the way back counts what the other half would add. Padding to n,
and cutting to it, is in the matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, shape_of

# Real and imaginary part; a real value has no second one.
Pair = tuple[Node, Node | None]
# The exponent of n that both directions are multiplied by: of (forward, inverse).
_POWERS = {"backward": (0.0, -1.0), "ortho": (-0.5, -0.5), "forward": (-1.0, 0.0)}


def transform(
    module: GraphModule, value: Pair, axis: int, size: int, norm: str, *, inverse: bool, half: bool
) -> Pair:
    """Return `value` transformed along `axis` of `size` values. With `half` the frequencies up to
    size / 2 alone are computed; inverse, they are what is given, and the result is real."""
    extent, sign = shape_of(value[0])[axis], 1 if inverse else -1
    scale = size ** _POWERS[norm][inverse]
    outputs = size // 2 + 1 if half and not inverse else size
    angles = 2 * math.pi / size * _products(extent, outputs, size)
    weights = _weights(extent, size, doubled=half and inverse)[:, None] * scale
    cosines, sines = weights * angles.cos(), weights * angles.sin()
    real = _product(module, value[0], cosines, axis)
    if half and inverse:
        if value[1] is None:
            return real, None
        return _added(module, real, _product(module, value[1], -sines, axis)), None
    imaginary = _product(module, value[0], sign * sines, axis)
    if value[1] is None:
        return real, imaginary
    return (
        _added(module, real, _product(module, value[1], -sign * sines, axis)),
        _added(module, imaginary, _product(module, value[1], cosines, axis)),
    )


def _products(rows: int, columns: int, size: int) -> Tensor:
    """Return j·k modulo `size` in float64: exact angles, however long the axis."""
    table = torch.arange(rows)[:, None] * torch.arange(columns) % size
    return table.double()


def _weights(extent: int, size: int, *, doubled: bool) -> Tensor:
    """Return how often each given value counts: not at all beyond `size`; twice where the
    frequency stands for its conjugate too."""
    if not doubled:
        return (torch.arange(extent) < size).double()
    places = torch.arange(extent)
    weights = torch.where((places == 0) | (2 * places == size), 1.0, 2.0).double()
    return weights * (places <= size // 2)


def _product(module: GraphModule, source: Node, matrix: Tensor, axis: int) -> Node:
    graph, rank = module.graph, len(shape_of(source))
    order = [*range(rank)]
    order[axis], order[-1] = order[-1], order[axis]
    weight = add_constant(module, "fourier", matrix.to(source.meta["val"].dtype))
    if axis == rank - 1:
        return call(graph, aten.matmul.default, source, weight)
    moved = call(graph, aten.permute.default, source, order)
    product = call(graph, aten.matmul.default, moved, weight)
    return call(graph, aten.permute.default, product, order)


def _added(module: GraphModule, first: Node, second: Node) -> Node:
    return call(module.graph, aten.add.Tensor, first, second)
