"""Compute without a batch of one where a value has more than five axes.

    x ── reshape (1, b, c, d, e, f) ── … ── sum over axis 3 ── …
becomes
    x ── reshape (b, c, d, e, f) ── … ── sum over axis 2 ── …

in the order of the graph: what gives such a value gives it as `unsqueeze(y, 0)`, and what reads one
reads y. For Core ML, whose tensors have five axes at most (involution, windows with heads).
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    RESHAPES,
    TRANSPOSES,
    add_constant,
    aten,
    axis_order,
    call,
    constant,
    is_call,
)
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MOST_AXES = 5
_SHAPES = (*RESHAPES, aten.flatten.using_ints, aten.unflatten.int, aten.expand.default)
# Element by element, or on the last axes alone: no axis is an argument.
_WITHOUT_AXES = (
    aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.matmul.default,
    aten.linear.default, aten.relu.default, aten.sigmoid.default, aten.tanh.default,
    aten.exp.default, aten.gelu.default, aten.neg.default, aten.clone.default,
    aten.contiguous.default,
)  # fmt: skip
# With the axes as their second argument.
_ALONG_AXES = (
    aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default, aten.softmax.int,
    aten.select.int, aten.slice.Tensor, aten.unsqueeze.default, aten.squeeze.dim,
)  # fmt: skip


class DropBatchAxis(Rewrite):
    """Requires static shapes, and a batch of one."""

    name = "drop_batch_axis"
    ensures = "no known operation on a batch of one gives or reads six axes"

    def matches(self, node: Node) -> bool:
        if node.op != "call_function" or _dropped(node) is not None:
            return False
        return any(_is_long(each) for each in (node, *node.all_input_nodes))

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        permuted = is_call(node, *TRANSPOSES)
        if (reason := _kept_somewhere(node)) is not None:
            return MatchFailure(reason)
        if any(_is_long(each) and _dropped(each) is None and _constant(module, each) is None
               for each in node.all_input_nodes):  # fmt: skip
            return MatchFailure("it reads what has its batch axis")
        if permuted and axis_order(node)[0] != 0:
            return MatchFailure("it moves the batch axis")
        along = is_call(node, *_ALONG_AXES) and (not _positive(node) or 0 in _positive(node))
        return MatchFailure("it is along the batch axis") if along else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        args: list[Any] = [_without_batch(module, node, each) for each in node.args]
        if is_call(node, *_SHAPES):
            target = node.target if is_call(node, aten.expand.default) else aten.reshape.default
            result = call(graph, target, args[0], [*shape(node)[1 if _is_long(node) else 0 :]])
        elif is_call(node, *TRANSPOSES):
            order = [axis - 1 for axis in axis_order(node)[1:]]
            result = call(graph, aten.permute.default, args[0], order)
        elif is_call(node, *_ALONG_AXES):
            axes = [axis - 1 for axis in _positive(node)]
            args[1] = axes if isinstance(node.args[1], (list, tuple)) else axes[0]
            result = call(graph, node.target, *args, **node.kwargs)
        else:
            result = call(graph, node.target, *args, **node.kwargs)
        if len(shape(result)) < len(shape(node)):
            result = call(graph, aten.unsqueeze.default, result, 0)
        node.replace_all_uses_with(result)


def _kept_somewhere(node: Node) -> str | None:
    """Return why a long value keeps its batch axis, of those that are computed of this one up to
    where it is short again: coremltools itself has some forms of six axes (the order of Hiera's
    patches), but none that half is left of."""
    waiting, seen = [node], {node}
    while waiting:
        each = waiting.pop()
        if not is_call(each, *TRANSPOSES, *_SHAPES, *_WITHOUT_AXES, *_ALONG_AXES):
            return f"{each.target} of more than five axes is not known"
        if _is_long(each) and (shape(each)[0] != 1 or len(shape(each)) > _MOST_AXES + 1):
            return "it has more than one image, or seven axes"
        more = [*each.users] if _is_long(each) else []
        waiting += [user for user in more if user not in seen]
        seen |= {*more}
    return None


def _is_long(node: object) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return len(getattr(value, "shape", ())) > _MOST_AXES


def _dropped(node: Node) -> Node | None:
    """Return a long value without its batch axis, where it is written as one."""
    if not (_is_long(node) and is_call(node, aten.unsqueeze.default) and node.args[1] == 0):
        return None
    source = node.args[0]
    return source if isinstance(source, Node) and not _is_long(source) else None


def _constant(module: GraphModule, node: Node) -> Any:
    value = constant(module, node)
    return value if value is not None and value.shape[0] == 1 else None


def _without_batch(module: GraphModule, reader: Node, value: Any) -> Any:
    """Return what is read in place of a long value, or of one that `reader` makes long."""
    if not isinstance(value, Node):
        return value
    if (source := _dropped(value)) is not None:
        return source
    if _is_long(value):
        return add_constant(module, f"{value.name}_of_one", _constant(module, value)[0])
    if is_call(reader, aten.unsqueeze.default, aten.expand.default) and shape(value)[0] == 1:
        return call(module.graph, aten.squeeze.dim, value, 0)
    return value


def _positive(node: Node) -> list[int]:
    """Return the axes that an operation is along, from 0 on; none if none are given."""
    axes: Any = node.args[1] if len(node.args) > 1 else []
    rank = len(shape(node.args[0])) + is_call(node, aten.unsqueeze.default)  # type: ignore[arg-type]
    along = axes if isinstance(axes, (list, tuple)) else [axes]
    return [int(axis) % rank for axis in along if axis is not None]
