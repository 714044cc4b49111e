"""Join constants to a map that is padded before a maximum pool, in place of the padding.

    max_pool2d(pad(x, value))      becomes     max_pool2d(cat of constants, x and constants)

ONNX Runtime makes one pool of the two, whose own padding counts as the least number, not as
`value`: a maximum of negative values then is another one (YOLOv3-tiny, TensorFlow's SAME in torch).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import PADS, add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_NOT_NEGATIVE = (aten.relu.default, aten.relu6.default, aten.sigmoid.default)


class PaddedMaxPoolToCat(Rewrite):
    """Requires static shapes."""

    name = "padded_max_pool_to_cat"
    ensures = (
        "no maximum pool of a map padded by a finite number, but of one without negative values"
    )

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.max_pool2d.default) and is_call(node.args[0], *PADS)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        pad: Any = node.args[0]
        if is_call(pad, aten.pad.default) and argument(pad, 2, "constant") != "constant":
            return MatchFailure("it is not padded by a constant")
        if is_call(pad.args[0], *_NOT_NEGATIVE) and _value(pad) == 0:
            return MatchFailure("it has no negative values")
        return MatchFailure("a pad is negative") if min(pad.args[1]) < 0 else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        pad: Any = node.args[0]
        graph, result, pads = module.graph, pad.args[0], [*pad.args[1]]
        for index in range(0, len(pads), 2):
            axis = len(shape_of(result)) - 1 - index // 2
            before, behind = (
                _border(module, node, result, axis, count) for count in pads[index : index + 2]
            )
            if before or behind:
                result = call(graph, aten.cat.default, [*before, result, *behind], axis)
        pool = call(graph, node.target, result, *node.args[1:], **node.kwargs)
        node.replace_all_uses_with(pool)


def _border(module: GraphModule, node: Node, source: Node, axis: int, count: int) -> list[Node]:
    """Return the constants that a pool's map has on one side, if any."""
    if count == 0:
        return []
    shape = [*shape_of(source)]
    shape[axis] = count
    full = torch.full(shape, _value(node.args[0]), dtype=source.meta["val"].dtype)  # type: ignore[arg-type]
    return [add_constant(module, f"{node.name}_border", full)]


def _value(pad: Node) -> float:
    place = 3 if is_call(pad, aten.pad.default) else 2
    return float(argument(pad, place) or 0)
