"""Write scaled dot-product attention as its two products and the softmax between them.

    sdpa(q, k, v)     becomes     softmax((q · s) · kᵀ) · v,    s = scale or 1/√d

Without a mask no row is empty. Left whole, ExecuTorch's decomposition looks for empty rows of
scores with eight operations that no delegate takes; they take half of MobileViT-XS's time.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of, swapped
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MASK, _DROPOUT, _CAUSAL, _SCALE, _GROUPED = 3, 4, 5, 6, 7  # places among the arguments


class DecomposeSdpa(Rewrite):
    """Requires static shapes."""

    name = "decompose_sdpa"
    ensures = "attention without a mask is matmul, softmax, matmul"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.scaled_dot_product_attention.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if argument(node, _MASK) is not None or argument(node, _CAUSAL, False):
            return MatchFailure("it has a mask: a row may be empty")
        if argument(node, _DROPOUT, 0.0) or argument(node, _GROUPED, False):
            return MatchFailure("dropout or grouped heads")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        query, key, value = (argument(node, index) for index in range(3))
        graph, scale = module.graph, argument(node, _SCALE)
        factor = shape_of(query)[-1] ** -0.5 if scale is None else float(scale)
        scaled = call(graph, aten.mul.Tensor, query, factor)  # (…, N, d)
        scores = call(graph, aten.matmul.default, scaled, swapped(graph, key))  # (…, N, M)
        weights = call(graph, aten.softmax.int, scores, -1)  # (…, N, M)
        node.replace_all_uses_with(call(graph, aten.matmul.default, weights, value))
