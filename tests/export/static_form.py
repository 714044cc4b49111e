"""Check that a captured graph has the static form, which the static rewrites ensure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from lolvit_export.rewrites.graph import argument, aten, is_call, shape_of
from lolvit_export.rewrites.pad_avg_pool_to_divisible import is_exact

LARGEST_RANK = 4

_FORBIDDEN = {
    aten.expand.default: "accelerators have no broadcast by itself",
    aten.expand_as.default: "accelerators have no broadcast by itself",
    aten.broadcast_to.default: "accelerators have no broadcast by itself",
    aten.unbind.int: "it returns a list of tensors",
    aten.batch_norm.default: "BatchNorm is not folded",
    aten._native_batch_norm_legit_no_training.default: "BatchNorm is not folded",
    aten.dropout.default: "dropout does nothing in inference",
    aten.feature_dropout.default: "dropout does nothing in inference",
    aten.alpha_dropout.default: "dropout does nothing in inference",
    aten.einsum.default: "each converter decomposes it differently",
}
_ADAPTIVE = (aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default)
_POOLS = (aten.avg_pool1d.default, aten.avg_pool3d.default)


def violations(graph: GraphModule) -> list[str]:
    """Return one line for each node that violates the static form, with the reason.

    The form: rank at most 4, batch size 1, static shapes; average pools whose windows tile the map;
    no expand, unbind, strided slice, einsum, BatchNorm, dropout or in-place operation.
    """
    computed = _from_input(graph)
    return [
        f"{node.name}: {reason}"
        for node in graph.graph.nodes
        for rule in _RULES
        if (reason := rule(node, node in computed)) is not None
    ]


def _from_input(graph: GraphModule) -> set[Node]:
    """Return the nodes whose value depends on the input; weights have no batch axis."""
    found: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or found.intersection(node.all_input_nodes):
            found.add(node)
    return found


def _values(node: Node) -> Iterator[Tensor]:
    if node.op == "output":  # its values belong to other nodes
        return
    yield from (v for v in tree_leaves(node.meta.get("val")) if isinstance(v, Tensor))


def _dynamic_shape(node: Node, computed: bool) -> str | None:
    for value in _values(node):
        if any(not isinstance(extent, int) for extent in value.shape):
            return f"its shape is not known: {tuple(value.shape)}"
    return None


def _rank(node: Node, computed: bool) -> str | None:
    ranks = [value.dim() for value in _values(node)]
    return f"rank {max(ranks)}" if ranks and max(ranks) > LARGEST_RANK else None


def _batch(node: Node, computed: bool) -> str | None:
    for value in _values(node):
        if computed and value.dim() >= 2 and value.shape[0] != 1:
            return f"its first axis, the batch, has extent {value.shape[0]}"
    return None


def _forbidden(node: Node, computed: bool) -> str | None:
    if node.op == "call_function" and node.target in _FORBIDDEN:
        return f"{node.target}: {_FORBIDDEN[node.target]}"
    return None


def _in_place(node: Node, computed: bool) -> str | None:
    target = node.target
    writes = isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable
    return f"{target} writes in place" if writes else None


def _strided_slice(node: Node, computed: bool) -> str | None:
    if not is_call(node, aten.slice.Tensor) or argument(node, 4, 1) == 1:
        return None
    return f"slice with step {argument(node, 4)}"


def _ragged_pool(node: Node, computed: bool) -> str | None:
    if is_call(node, *_ADAPTIVE):
        rank = 2 if is_call(node, aten.adaptive_avg_pool2d.default) else 1
        whole = shape_of(node)[-rank:] == (1,) * rank
        return None if whole else "adaptive windows to more than one cell"
    if is_call(node, *_POOLS):
        return f"{node.target}: only two-dimensional pools are made exact"
    if is_call(node, aten.avg_pool2d.default) and not is_exact(node):
        return "average over windows that do not tile the map"
    return None


def _opaque(node: Node, computed: bool) -> str | None:
    plain = isinstance(node.target, torch._ops.OpOverload) or node.target is operator.getitem
    return None if node.op != "call_function" or plain else f"{node.target} is no ATen operation"


_RULES: tuple[Callable[[Node, bool], str | None], ...] = (
    _dynamic_shape,
    _rank,
    _batch,
    _forbidden,
    _in_place,
    _strided_slice,
    _ragged_pool,
    _opaque,
)
