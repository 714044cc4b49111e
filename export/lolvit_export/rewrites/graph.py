"""Reading and editing a captured graph: what the rewrites share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from lolvit_export.module_paths import copy_module_stack

aten = torch.ops.aten
RESHAPES = (aten.reshape.default, aten.view.default)
TRANSPOSES = (aten.permute.default, aten.transpose.int)
CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
PADS = (aten.pad.default, aten.constant_pad_nd.default)
PROJECTIONS = (*CONVOLUTIONS, aten.linear.default)


def is_call(node: object, *targets: object) -> TypeGuard[Node]:
    """Tell whether `node` calls one of `targets`."""
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def shape_of(node: Node) -> tuple[int, ...]:
    """Return the static shape of a node's value."""
    return tuple(int(extent) for extent in node.meta["val"].shape)


def argument(node: Node, index: int, default: Any = None) -> Any:
    """Return a positional argument, or what the operator's schema calls it as keyword."""
    if index < len(node.args):
        return node.args[index]
    schema = getattr(node.target, "_schema", None)
    if schema is not None and index < len(schema.arguments):
        return node.kwargs.get(schema.arguments[index].name, default)
    return default


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return a spatial argument as (height, width)."""
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def constant(module: GraphModule, node: object) -> Tensor | None:
    """Return the tensor that a `get_attr` node reads, or None if it is something else."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    owner: Any = module
    for part in str(node.target).split("."):
        owner = getattr(owner, part)
    return owner.detach() if isinstance(owner, Tensor) else None


def computed_weight(module: GraphModule, projection: Node) -> str | None:
    """Return which of a projection's weight and bias is no constant, or None."""
    if constant(module, argument(projection, 1)) is None:
        return "weight"
    bias = argument(projection, 2)
    return "bias" if bias is not None and constant(module, bias) is None else None


def add_constant(module: GraphModule, hint: str, value: Tensor) -> Node:
    """Register `value` under a fresh name and return a `get_attr` node at the insertion point."""
    stem = "static_" + hint.replace(".", "_")
    name, count = stem, 0
    while hasattr(module, name):
        count += 1
        name = f"{stem}_{count}"
    module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
    node = module.graph.get_attr(name)
    anchor = next(other for other in module.graph.nodes if other.op == "placeholder")
    node.meta["val"] = anchor.meta["val"].new_empty(tuple(value.shape), dtype=value.dtype)
    return node


def call(graph: Graph, target: Any, *args: Any, **kwargs: Any) -> Node:
    """Insert a call and infer its shape, so that later steps of one rewrite can read it."""
    node = graph.call_function(target, args, kwargs)
    values, options = torch.fx.node.map_arg((args, kwargs), lambda read: read.meta["val"])
    node.meta["val"] = target(*values, **options)
    return node


def with_weights(
    module: GraphModule,
    projection: Node,
    hint: str,
    weight: Tensor,
    bias: Tensor | None,
    *,
    source: Node | None = None,
) -> Node:
    """Insert a projection like `projection`, all but its weight and bias the same, and what it
    reads if `source` is given; it stands for that one, also where a rewrite replaces another node
    by it."""
    args = [*projection.args, None, None][: max(3, len(projection.args))]
    args[0] = source or args[0]
    args[1] = add_constant(module, f"{hint}_weight", weight)
    args[2] = None if bias is None else add_constant(module, f"{hint}_bias", bias)
    others = {key: v for key, v in projection.kwargs.items() if key not in ("weight", "bias")}
    made = call(module.graph, projection.target, *args, **others)
    copy_module_stack(projection, made)
    return made


def axis_order(node: Node) -> list[int]:
    """Return which axis of the input each axis of a transpose's result is."""
    rank = len(shape_of(node))
    if is_call(node, aten.permute.default):
        return [int(axis) % rank for axis in argument(node, 1)]
    first, second = (int(argument(node, index)) % rank for index in (1, 2))
    order = list(range(rank))
    order[first], order[second] = order[second], order[first]
    return order


def is_last_two_swap(node: object) -> bool:
    """Tell whether `node` exchanges the last two axes."""
    if not is_call(node, *TRANSPOSES):
        return False
    order = axis_order(node)
    return order == [*range(len(order) - 2), len(order) - 1, len(order) - 2]


def swapped(graph: Graph, node: Node) -> Node:
    """Return `node` with its last two axes exchanged, explicitly; a swap of a swap is undone."""
    if is_last_two_swap(node):
        source = node.args[0]
        assert isinstance(source, Node)
        return source
    rank = len(shape_of(node))
    return call(graph, aten.permute.default, node, [*range(rank - 2), rank - 1, rank - 2])
