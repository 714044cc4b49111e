"""Write every change of layout as a permute, a reshape or an expand, which the others look for.

mT, t, numpy_T, movedim, moveaxis, swapaxes, swapdims     become     permute
flatten, unflatten, squeeze, unsqueeze, view_as, reshape_as    become     reshape
    expand_as, broadcast_to     become     expand
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_RESHAPING = (
    aten.flatten.using_ints,
    aten.unflatten.int,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.view_as.default,
    aten.reshape_as.default,
)
_SWAPPING_LAST_TWO = (aten.mT.default, aten.t.default)
_SWAPPING_NAMED = (aten.swapaxes.default, aten.swapdims.default)
_REVERSING = (aten.numpy_T.default,)
_MOVING = (
    aten.movedim.int,
    aten.movedim.intlist,
    aten.moveaxis.int,
    aten.moveaxis.intlist,
)
_EXPANDING = (aten.expand_as.default, aten.broadcast_to.default)
_PERMUTING = (*_SWAPPING_LAST_TWO, *_SWAPPING_NAMED, *_REVERSING, *_MOVING)


class NormalizeLayoutOps(Rewrite):
    """Requires nothing."""

    name = "normalize_layout_ops"
    ensures = "layouts change by permute, transpose, reshape and expand only"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_RESHAPING, *_PERMUTING, *_EXPANDING)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        if is_call(node, *_RESHAPING):
            plain = call(module.graph, aten.reshape.default, source, list(shape_of(node)))
        elif is_call(node, *_EXPANDING):
            plain = call(module.graph, aten.expand.default, source, list(shape_of(node)))
        else:
            order = _order(node, len(shape_of(source)))
            plain = call(module.graph, aten.permute.default, source, order)
        node.replace_all_uses_with(plain)


def _order(node: Node, rank: int) -> list[int]:
    """Return which axis of the input each axis of the result is."""
    order = list(range(rank))
    if is_call(node, *_REVERSING):
        return order[::-1]
    if is_call(node, *_MOVING):
        return _moved(order, _axes(node, 1, rank), _axes(node, 2, rank))
    first, second = (rank - 2, rank - 1)
    if is_call(node, *_SWAPPING_NAMED):
        first, second = _axes(node, 1, rank)[0], _axes(node, 2, rank)[0]
    if rank >= 2:  # `t` of a vector is the vector
        order[first], order[second] = order[second], order[first]
    return order


def _axes(node: Node, index: int, rank: int) -> list[int]:
    value = argument(node, index)
    return [int(axis) % rank for axis in (value if isinstance(value, list | tuple) else [value])]


def _moved(order: list[int], sources: list[int], targets: list[int]) -> list[int]:
    """Return `order` with the axes `sources` at the places `targets`, the others kept in order."""
    others = iter([axis for axis in order if axis not in sources])
    placed = dict(zip(targets, sources, strict=True))
    return [placed[place] if place in placed else next(others) for place in order]
