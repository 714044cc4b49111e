"""Write layer normalisation over the last axis as products and elementwise operations.

    c = x - x·a        with a the constant column 1/d, so that x·a is the mean of the last axis
    layer_norm(x) = c · rsqrt((c·c)·a + ε) · w + b

XNNPACK in ExecuTorch has no layer normalisation: left whole, each one ends a delegate and runs in
ExecuTorch's own kernel. MobileViT-XS, of which 21 broke it in 22, is 3 % faster in one piece.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_WEIGHT, _BIAS, _EPS = 2, 3, 4  # places among the arguments


class DecomposeLayerNorm(Rewrite):
    """Requires static shapes."""

    name = "decompose_layer_norm"
    ensures = "no layer_norm over the last axis alone"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.layer_norm.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        axes = argument(node, 1)
        return None if len(axes) == 1 else MatchFailure(f"it normalises over {len(axes)} axes")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        assert isinstance(source, Node)
        width, dtype = shape_of(source)[-1], node.meta["val"].dtype
        average = _constant(module, "average", torch.full((1, width), 1 / width, dtype=dtype))
        eps = torch.full((1,), argument(node, _EPS, 1e-5), dtype=dtype)
        mean = call(graph, aten.linear.default, source, average)  # (…, 1)
        centred = call(graph, aten.sub.Tensor, source, mean)  # (…, d)
        squares = call(graph, aten.mul.Tensor, centred, centred)  # (…, d)
        spread = call(
            graph, aten.linear.default, squares, average, _constant(module, "eps", eps)
        )  # (…, 1)
        scale = call(graph, aten.rsqrt.default, spread)  # (…, 1)
        result = call(graph, aten.mul.Tensor, centred, scale)  # (…, d)
        if (weight := argument(node, _WEIGHT)) is not None:
            result = call(graph, aten.mul.Tensor, result, weight)
        if (bias := argument(node, _BIAS)) is not None:
            result = call(graph, aten.add.Tensor, result, bias)
        node.replace_all_uses_with(result)


def _constant(module: GraphModule, hint: str, value: Tensor) -> Node:
    return add_constant(module, f"layer_norm_{hint}", value)
