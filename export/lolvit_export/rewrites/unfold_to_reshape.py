"""Take windows along one axis by a reshape, or by their constant places.

    x.unfold(axis, size, step)
becomes
    x[: n·size] ── reshape (…, n, size, …) ── permute, the windows' axis last      if step = size
    x ── index_select of i·step + j ── the same                                    elsewhere

coremltools does not know the operation, and litert-torch pads an axis too many for two of them
(patches of an image by x.unfold(2, p, p).unfold(3, p, p), HaloNet's overlapping windows).
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class UnfoldToReshape(Rewrite):
    """Requires static shapes."""

    name = "unfold_to_reshape"
    ensures = "no windows along one axis"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.unfold.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        assert isinstance(source, Node)
        axis, size, step = (int(each) for each in node.args[1:4])  # type: ignore[arg-type]
        shape = shape_of(source)
        axis %= len(shape)
        count = (shape[axis] - size) // step + 1
        if step == size:
            if count * size < shape[axis]:
                source = call(graph, aten.slice.Tensor, source, axis, 0, count * size)
        else:
            places = torch.arange(count)[:, None] * step + torch.arange(size)
            chosen = add_constant(module, f"{node.name}_places", places.flatten())
            source = call(graph, aten.index_select.default, source, axis, chosen)
        windows = [*shape[:axis], count, size, *shape[axis + 1 :]]
        split = call(graph, aten.reshape.default, source, windows)
        order = [each for each in range(len(windows)) if each != axis + 1]
        node.replace_all_uses_with(call(graph, aten.permute.default, split, [*order, axis + 1]))
