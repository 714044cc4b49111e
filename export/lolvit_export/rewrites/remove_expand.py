"""Remove `expand` where every reader broadcasts by itself.

x (…, 1, …) ── expand ── add/mul/… with y        becomes        x ── add/mul/… with y
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_BROADCASTING = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
    aten.maximum.default,
    aten.minimum.default,
)


class RemoveExpand(Rewrite):
    """Requires no-op expands dropped."""

    name = "remove_expand"
    ensures = "no expand before an operation that broadcasts"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.expand.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        for user in node.users:
            if not is_call(user, *_BROADCASTING):
                return MatchFailure(f"{user.name} does not broadcast by itself")
            others = [arg for arg in user.args if isinstance(arg, Node) and arg is not node]
            shapes = [shape_of(other) for other in (*others, node.args[0])]  # type: ignore[arg-type]
            if _broadcast(shapes) != shape_of(user):
                return MatchFailure(f"{user.name} has its shape from the expanded value")
            if any(other.meta["val"].dtype != node.meta["val"].dtype for other in others):
                return MatchFailure(f"{user.name} has its type from the rank of the expanded value")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        node.replace_all_uses_with(source)


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
