"""Write arithmetic that a converter lacks as what it consists of.

lerp(x, y, w)          becomes     x + w·(y - x)
addcmul(x, a, b)       becomes     x + v·a·b, addcdiv likewise
trunc(x)               becomes     sign(x)·⌊|x|⌋, and frac(x) = x - trunc(x)
fmod(x, y)             becomes     x - y·trunc(x / y)
ceil(x)                becomes     -⌊-x⌋
exp2(x)                becomes     exp(x·ln 2)
asinh(x)               becomes     sign(x)·log(|x| + √(x² + 1)), acosh and atanh likewise
hypot(x, y)            becomes     √(x² + y²)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

# Calls an operation of aten by its overload's name.
_Call = Callable[..., Node]


class DecomposeArithmetic(Rewrite):
    """Requires nothing."""

    name = "decompose_arithmetic"
    ensures = "no such operation on floating-point numbers"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_FORMULAS)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        floating = node.meta["val"].is_floating_point()
        return None if floating else MatchFailure("it is of integers")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        def write(target: Any, *args: Any) -> Node:
            return call(module.graph, target, *args)

        node.replace_all_uses_with(_FORMULAS[node.target](write, node, *node.args))


def _lerp(write: _Call, _node: Node, x: Any, y: Any, weight: Any) -> Node:
    way = write(aten.sub.Tensor, y, x)
    return write(aten.add.Tensor, x, write(aten.mul.Tensor, way, weight))


def _added(target: Any) -> Callable[..., Node]:
    def formula(write: _Call, node: Node, x: Any, first: Any, second: Any, *_: Any) -> Node:
        factor = argument(node, 3, 1)
        term = write(target, first, second)
        return write(
            aten.add.Tensor, x, term if factor == 1 else write(aten.mul.Tensor, term, factor)
        )

    return formula


def _trunc(write: _Call, _node: Node, x: Any) -> Node:
    down = write(aten.floor.default, write(aten.abs.default, x))
    return write(aten.mul.Tensor, write(aten.sign.default, x), down)


def _frac(write: _Call, node: Node, x: Any) -> Node:
    return write(aten.sub.Tensor, x, _trunc(write, node, x))


def _fmod(write: _Call, node: Node, x: Any, y: Any) -> Node:
    whole = _trunc(write, node, write(aten.div.Tensor, x, y))
    return write(aten.sub.Tensor, x, write(aten.mul.Tensor, whole, y))


def _ceil(write: _Call, _node: Node, x: Any) -> Node:
    down = write(aten.floor.default, write(aten.neg.default, x))
    return write(aten.neg.default, down)


def _exp2(write: _Call, _node: Node, x: Any) -> Node:
    return write(aten.exp.default, write(aten.mul.Tensor, x, math.log(2)))


def _root(write: _Call, x: Any, more: float) -> Node:
    square = write(aten.mul.Tensor, x, x)
    return write(aten.sqrt.default, write(aten.add.Tensor, square, more))


def _asinh(write: _Call, _node: Node, x: Any) -> Node:
    size = write(aten.abs.default, x)
    grown = write(aten.log.default, write(aten.add.Tensor, size, _root(write, x, 1.0)))
    return write(aten.mul.Tensor, write(aten.sign.default, x), grown)


def _acosh(write: _Call, _node: Node, x: Any) -> Node:
    return write(aten.log.default, write(aten.add.Tensor, x, _root(write, x, -1.0)))


def _atanh(write: _Call, _node: Node, x: Any) -> Node:
    above = write(aten.add.Tensor, x, 1.0)
    below = write(aten.add.Tensor, write(aten.neg.default, x), 1.0)
    return write(
        aten.mul.Tensor, write(aten.log.default, write(aten.div.Tensor, above, below)), 0.5
    )


def _reciprocal(write: _Call, _node: Node, x: Any) -> Node:
    return write(aten.div.Tensor, write(aten.ones_like.default, x), x)


def _hypot(write: _Call, _node: Node, x: Any, y: Any) -> Node:
    squares = (write(aten.mul.Tensor, each, each) for each in (x, y))
    return write(aten.sqrt.default, write(aten.add.Tensor, *squares))


def _nan_to_num(
    write: _Call, node: Node, x: Any, nan: Any = None, above: Any = None, below: Any = None
) -> Node:
    dtype = node.meta["val"].dtype
    limits = torch.finfo(dtype)
    above = limits.max if above is None else above
    below = limits.min if below is None else below
    result = write(aten.where.ScalarSelf, write(aten.eq.Scalar, x, math.inf), above, x)
    result = write(aten.where.ScalarSelf, write(aten.eq.Scalar, x, -math.inf), below, result)
    return write(aten.where.ScalarSelf, write(aten.ne.Tensor, x, x), nan or 0.0, result)


_FORMULAS: dict[Any, Callable[..., Node]] = {
    aten.lerp.Scalar: _lerp,
    aten.lerp.Tensor: _lerp,
    aten.addcmul.default: _added(aten.mul.Tensor),
    aten.addcdiv.default: _added(aten.div.Tensor),
    aten.trunc.default: _trunc,
    aten.fix.default: _trunc,
    aten.frac.default: _frac,
    aten.fmod.Scalar: _fmod,
    aten.fmod.Tensor: _fmod,
    aten.ceil.default: _ceil,
    aten.exp2.default: _exp2,
    aten.asinh.default: _asinh,
    aten.acosh.default: _acosh,
    aten.atanh.default: _atanh,
    aten.hypot.default: _hypot,
    aten.reciprocal.default: _reciprocal,
    aten.nan_to_num.default: _nan_to_num,
}
