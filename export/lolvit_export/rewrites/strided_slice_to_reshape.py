"""Turn a strided slice into a reshape and a slice without stride.

    x (1, …, n, …)[o:e:s]
becomes
    x ── slice(o : o + s·m) [── pad to s·m] ── reshape(1, ·, m, s·r) ── slice(0 : r) ── reshape

where m = ⌈(e - o) / s⌉ is the number of elements taken and r that of elements behind the axis. If
the axis is m whole runs of s elements and the first is taken from within the first run, nothing is
cut off or padded: one slice takes o·r : (o + 1)·r. To take one element, o : o + 1 is enough. Rank
stays within 4 and the batch first: the axes between it and the sliced one are joined into one, and
those behind ride along with the stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


@dataclass(frozen=True)
class _Range:
    axis: int
    extent: int
    start: int
    step: int
    count: int  # how many elements are taken


class StridedSliceToReshape(Rewrite):
    """Requires static shapes."""

    name = "strided_slice_to_reshape"
    ensures = "slices have step 1"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.slice.Tensor) and int(argument(node, 4, 1)) != 1

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return MatchFailure("it takes nothing") if 0 in shape_of(node) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        graph, picked = module.graph, _range(node)
        if picked.count == 1:
            ends = (picked.start, picked.start + 1)
            node.replace_all_uses_with(call(graph, aten.slice.Tensor, source, picked.axis, *ends))
            return
        shape = shape_of(source)
        batch, behind = math.prod(shape[:1][: picked.axis]), math.prod(shape[picked.axis + 1 :])
        between = math.prod(shape[1 : picked.axis])
        runs, offset = _whole_runs(graph, source, picked)
        joined = [batch, between, picked.count, picked.step * behind]
        rows = call(graph, aten.reshape.default, runs, joined)
        ends = (offset * behind, (offset + 1) * behind)
        first = call(graph, aten.slice.Tensor, rows, 3, *ends)
        result = call(graph, aten.reshape.default, first, list(shape_of(node)))
        node.replace_all_uses_with(result)


def _whole_runs(graph: Graph, source: Node, picked: _Range) -> tuple[Node, int]:
    """Return `source` cut and padded to one run of `step` elements for each that is taken, and
    which element of a run that is."""
    length = picked.step * picked.count
    offset = picked.start % picked.step
    if picked.start == offset and length == picked.extent:
        return source, offset
    end = min(picked.start + length, picked.extent)
    runs = call(graph, aten.slice.Tensor, source, picked.axis, picked.start, end)
    missing = length - (end - picked.start)
    if missing > 0:
        axes_behind = len(shape_of(source)) - picked.axis - 1
        runs = call(graph, aten.constant_pad_nd.default, runs, [0, 0] * axes_behind + [0, missing])
    return runs, 0


def _range(node: Node) -> _Range:
    """Return what a slice takes, with negative bounds resolved."""
    source = node.args[0]
    assert isinstance(source, Node)
    axis = int(argument(node, 1, 0)) % len(shape_of(source))
    extent, step = shape_of(source)[axis], int(argument(node, 4, 1))
    start, _, _ = slice(argument(node, 2), argument(node, 3)).indices(extent)
    return _Range(axis, extent, start, step, count=shape_of(node)[axis])
