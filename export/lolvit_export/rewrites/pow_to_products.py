"""Multiply in place of raising to a whole number, and take a square root in place of a power of ½.

    x ** 2      becomes     x · x
    x ** 5      becomes     ((x · x) · (x · x)) · x
    x ** ½      becomes     √x
    x ** -e     becomes     1 / x ** e
    x ** e      becomes     the same of x as a vector      for any other e, of more than four axes

For litert-torch, whose operation takes four axes at most, and XNNPACK, which has none.
"""

from __future__ import annotations

import math

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MOST_AXES = 4
_LARGEST = 8


class PowToProducts(Rewrite):
    """Requires a constant exponent."""

    name = "pow_to_products"
    ensures = "no power of a whole number up to 8 or of ½, and none of more than four axes"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.pow.Tensor_Scalar)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source, exponent = node.args[:2]
        assert isinstance(source, Node) and isinstance(exponent, (int, float))
        if not source.meta["val"].is_floating_point():
            return MatchFailure("it is of integers")
        if _is_product(exponent) or len(shape_of(source)) > _MOST_AXES:
            return None
        return MatchFailure("its exponent is another one")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, (source, exponent) = module.graph, node.args[:2]
        assert isinstance(source, Node) and isinstance(exponent, (int, float))
        if _is_product(exponent):
            power = _power(graph, source, abs(exponent))
            if exponent < 0:
                power = call(graph, aten.reciprocal.default, power)
        else:
            flat = call(graph, aten.reshape.default, source, [math.prod(shape_of(source))])
            raised = call(graph, aten.pow.Tensor_Scalar, flat, exponent)
            power = call(graph, aten.reshape.default, raised, [*shape_of(source)])
        node.replace_all_uses_with(power)


def _is_product(exponent: float) -> bool:
    whole = float(exponent).is_integer() and 1 <= abs(exponent) <= _LARGEST
    return whole or abs(exponent) == 0.5


def _power(graph: Graph, source: Node, exponent: float) -> Node:
    if exponent == 0.5:
        return call(graph, aten.sqrt.default, source)
    if exponent == 1:
        return source
    half = _power(graph, source, exponent // 2)
    square = call(graph, aten.mul.Tensor, half, half)
    return call(graph, aten.mul.Tensor, square, source) if exponent % 2 else square
