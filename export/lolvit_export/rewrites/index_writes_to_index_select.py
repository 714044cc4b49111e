"""Write to constant places along an axis by choosing from what is there and what is written.

    index_copy(x, axis, places, y)      becomes     index_select of x and y, joined
    index_add(x, axis, places, y)       becomes     x + index_select of y and a zero, joined

coremltools knows neither, and LiteRT opens no file with the second.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, constant, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class IndexWritesToIndexSelect(Rewrite):
    """Requires static shapes and constant places, each of them once."""

    name = "index_writes_to_index_select"
    ensures = "no copy or sum to constant places"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.index_copy.default, aten.index_add.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        places = constant(module, argument(node, 2))
        if places is None:
            return MatchFailure("its places are computed")
        if len({*places.tolist()}) < places.numel():
            return MatchFailure("a place is written twice")
        scaled = is_call(node, aten.index_add.default) and argument(node, 4, 1) != 1
        return MatchFailure("it has a factor") if scaled else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source, written = module.graph, node.args[0], argument(node, 3)
        places = constant(module, argument(node, 2))
        assert isinstance(source, Node) and places is not None
        axis = int(argument(node, 1)) % len(shape(source))
        extent = shape(source)[axis]
        if is_call(node, aten.index_copy.default):
            both = call(graph, aten.cat.default, [source, written], axis)
            chosen = _chosen(torch.arange(extent), places, extent)
            result = _selected(module, node, both, axis, chosen)
        else:
            first = call(graph, aten.slice.Tensor, source, axis, 0, 1)
            zero = call(graph, aten.zeros_like.default, first)
            both = call(graph, aten.cat.default, [zero, written], axis)
            added = _selected(module, node, both, axis, _chosen(torch.zeros(extent), places, 1))
            result = call(graph, aten.add.Tensor, source, added)
        node.replace_all_uses_with(result)


def _chosen(otherwise: Tensor, places: Tensor, first: int) -> Tensor:
    """Return where each place is read: of what is written, which begins at `first`, or as it is."""
    chosen = otherwise.long().clone()
    chosen[places] = first + torch.arange(places.numel())
    return chosen


def _selected(module: GraphModule, node: Node, source: Node, axis: int, places: Tensor) -> Node:
    chosen = add_constant(module, f"{node.name}_places", places)
    return call(module.graph, aten.index_select.default, source, axis, chosen)
