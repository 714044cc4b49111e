"""Write scaled dot-product attention as its two products and the softmax between them.

    sdpa(q, k, v, m)     becomes     softmax((q · s) · kᵀ + m) · v,    s = scale or 1/√d

m is 0 where a mask of booleans is true and −∞ elsewhere; a causal mask is true on and below the
diagonal. A row of −∞ gives zeros in sdpa and no number in softmax, so that masks must be known.

Left whole, ExecuTorch's decomposition looks for empty rows of scores with eight operations that no
delegate takes; they take half of MobileViT-XS's time. torch's ONNX exporter fails on some masks,
with which the operation and its decomposition have results of different strides, and on attention
of another rank than 4, such as Hiera's in windows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    add_constant,
    argument,
    aten,
    call,
    constant,
    is_call,
    shape_of,
    swapped,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MASK, _DROPOUT, _CAUSAL, _SCALE, _GROUPED = 3, 4, 5, 6, 7  # places among the arguments


class DecomposeSdpa(Rewrite):
    """Requires static shapes, and masks that are constants without an empty row.

    Args:
        keep_plain: leave attention over four axes without a mask as it is.
    """

    name = "decompose_sdpa"
    ensures = "attention with a known mask or none is matmul, softmax, matmul"

    def __init__(self, *, keep_plain: bool = False) -> None:
        self.keep_plain = keep_plain

    def matches(self, node: Node) -> bool:
        if not is_call(node, aten.scaled_dot_product_attention.default):
            return False
        is_plain = len(shape_of(argument(node, 0))) == 4 and not _is_masked(node)
        return not (self.keep_plain and is_plain)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if argument(node, _DROPOUT, 0.0) or argument(node, _GROUPED, False):
            return MatchFailure("dropout or grouped heads")
        if not _is_masked(node):
            return None
        added = _added(module, node)
        if added is None:
            return MatchFailure("its mask is computed: a row may be empty")
        if bool(added.isneginf().all(-1).any()):
            return MatchFailure("a row of its mask is empty")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        query, key, value = (argument(node, index) for index in range(3))
        graph, scale = module.graph, argument(node, _SCALE)
        factor = shape_of(query)[-1] ** -0.5 if scale is None else float(scale)
        scaled = call(graph, aten.mul.Tensor, query, factor)  # (…, N, d)
        scores = call(graph, aten.matmul.default, scaled, swapped(graph, key))  # (…, N, M)
        added = _added(module, node)
        if added is not None:
            mask = add_constant(module, f"{node.name}_mask", added)
            scores = call(graph, aten.add.Tensor, scores, mask)
        weights = call(graph, aten.softmax.int, scores, -1)  # (…, N, M)
        node.replace_all_uses_with(call(graph, aten.matmul.default, weights, value))


def _is_masked(node: Node) -> bool:
    return argument(node, _MASK) is not None or bool(argument(node, _CAUSAL, False))


def _added(module: GraphModule, node: Node) -> Tensor | None:
    """Return what is added to the scores; None: nothing, or something that is not a constant."""
    query, key = (shape_of(argument(node, index)) for index in range(2))
    if argument(node, _CAUSAL, False):
        mask: Tensor | None = torch.ones(query[-2], key[-2], dtype=torch.bool).tril()
    else:
        mask = constant(module, argument(node, _MASK))
    if mask is None or mask.dtype != torch.bool:
        return mask
    dtype = argument(node, 0).meta["val"].dtype
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)
