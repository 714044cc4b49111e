"""Write what is computed of weights alone as a constant.

    weight ── operation ── …      becomes      constant ── …
    arange, zeros, …      ── …    becomes      constant ── …

One operation after another, so that a chain of them becomes one constant. Such are convolutions
with standardized weights (NFNet, BiT), position embeddings that are resized to the image, and
relative positions gathered from a table. A converter need not have the operations, and a runtime
does not compute them for each image; some compute them less precisely than PyTorch does.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, constant, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_LARGEST = 2**20  # elements of a constant that is larger than what it is computed of
_UNDEFINED = (aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default)


class FoldConstants(Rewrite):
    """Requires that the operation gives the same each time."""

    name = "fold_constants"
    ensures = "no tensor is computed of weights alone, unless it would be large"

    def matches(self, node: Node) -> bool:
        if not isinstance(node.meta.get("val"), Tensor) or not node.users:
            return False
        if is_call(node, operator.getitem):  # of several results
            source = node.args[0]
            return isinstance(source, Node) and _reads_constants(source)
        return _reads_constants(node)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if any(user.op == "output" for user in node.users):
            return MatchFailure("it is an output, which not every format has as a constant")
        size = node.meta["val"].numel()
        read = sum(int(torch.Size(shape_of(each)).numel()) for each in _computed_of(node))
        if size > max(_LARGEST, read):
            return MatchFailure(f"the constant would have {size} elements")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        with torch.no_grad():
            folded = add_constant(module, node.name, _value(module, node))
        node.replace_all_uses_with(folded)


def _reads_constants(node: Node) -> bool:
    """Whether a node calls an operation on constants alone that gives the same each time."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and not target._schema.is_mutable
        and target not in _UNDEFINED
        and torch.Tag.nondeterministic_seeded not in target.tags
        and all(read.op == "get_attr" for read in node.all_input_nodes)
    )


def _computed_of(node: Node) -> list[Node]:
    """Return the constants that a node's value is computed of."""
    if is_call(node, operator.getitem):
        (source,) = node.all_input_nodes
        return source.all_input_nodes
    return node.all_input_nodes


def _value(module: GraphModule, node: Node) -> Any:
    """Return what a node computes; its innermost arguments are constants."""
    if node.op == "get_attr":
        return constant(module, node)
    args, kwargs = torch.fx.node.map_arg(
        (node.args, node.kwargs), lambda read: _value(module, read)
    )
    assert callable(node.target)
    return node.target(*args, **kwargs)
