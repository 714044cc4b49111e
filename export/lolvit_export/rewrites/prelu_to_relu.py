"""Write a PReLU as a sum with one ReLU.

    prelu(x, a)
becomes
    x + relu((a - 1)·x)                    where no slope a is above 1
    x + sign(1 - a)·relu(-|1 - a|·x)       with slopes on both sides of 1

For x > 0 the ReLU is 0; below, the sum is x + (a - 1)·x = a·x.

For converters without the operation. litert-torch writes relu(x) - a·relu(-x): four operations a
layer where these are two, half as long in all, and behind a linear layer TFLite's converter folds
the sign into a second copy of its weights. ai-edge-quantizer takes no `PRELU`, but each of these.
coremltools has it on maps alone.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, constant, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MAP_RANK = 4


class PreluToRelu(Rewrite):
    """Requires constant slopes. With `maps` false, those of maps (B, C, H, W) stay."""

    name = "prelu_to_relu"
    ensures = "no PReLU, but on maps where they stay"

    def __init__(self, *, maps: bool = True) -> None:
        self._maps = maps

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.prelu.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if not self._maps and len(shape_of(node)) == _MAP_RANK:
            return MatchFailure("it is of a map")
        computed = constant(module, node.args[1]) is None
        return MatchFailure("its slopes are computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        slopes = constant(module, node.args[1])  # (C,) or (1,)
        assert isinstance(source, Node) and slopes is not None
        rank = len(shape_of(source))
        if rank > 1:
            slopes = slopes.reshape(1, -1, *[1] * (rank - 2))  # of the second axis
        bend = add_constant(module, f"{node.name}_bend", -(1 - slopes).abs())
        bent = call(graph, aten.relu.default, call(graph, aten.mul.Tensor, source, bend))
        if bool((slopes > 1).any()):
            sign = add_constant(module, f"{node.name}_sign", torch.sign(1 - slopes))
            bent = call(graph, aten.mul.Tensor, bent, sign)
        node.replace_all_uses_with(call(graph, aten.add.Tensor, source, bent))
