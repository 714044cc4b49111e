"""Give the stride of a maximum pool that takes its window's size for it.

    max_pool2d(x, 2)      becomes     max_pool2d(x, 2, stride=2)

For coremltools, whose converter expects the argument.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_POOLS = (
    aten.max_pool1d.default, aten.max_pool1d_with_indices.default, aten.max_pool2d.default,
    aten.max_pool2d_with_indices.default, aten.max_pool3d.default,
    aten.max_pool3d_with_indices.default,
)  # fmt: skip


class ExplicitPoolStride(Rewrite):
    """Requires nothing."""

    name = "explicit_pool_stride"
    ensures = "each maximum pool has its stride as an argument"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_POOLS) and not argument(node, 2)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source, window, *rest = node.args
        others = {key: value for key, value in node.kwargs.items() if key != "stride"}
        args = (source, window, window, *rest[1:])
        node.replace_all_uses_with(call(module.graph, node.target, *args, **others))
