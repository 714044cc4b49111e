"""What a rewrite is: match, check and rewrite apart from each other; a refusal is data.

`apply` runs one over a copy and reports where it fired and where it did not, and why.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from torch.fx import GraphModule, Node

from lolvit.manifest import RewriteRecord
from lolvit_export.places import place_inserted
from lolvit_export.shapes import refresh_shapes


@dataclass(frozen=True)
class Refusal:
    """Why a rewrite leaves a place as it is."""

    reason: str


class Rewrite(ABC):
    """One static rewrite: equal in value to what it replaces, up to rounding.

    A subclass documents the algebra in its module's docstring and states what it ensures.
    """

    name: str
    ensures: str

    @abstractmethod
    def matches(self, node: Node) -> bool:
        """Tell whether `node` is the root of a place that this rewrite is about."""

    @abstractmethod
    def check(self, module: GraphModule, node: Node) -> Refusal | None:
        """Return why the place can't be rewritten, or None if it can. Changes nothing."""

    @abstractmethod
    def rewrite(self, module: GraphModule, node: Node) -> None:
        """Replace the place; `check` has allowed it."""


def apply(rewrite: Rewrite, module: GraphModule) -> tuple[GraphModule, RewriteRecord]:
    """Return a rewritten copy of `module`, and where the rewrite fired or refused."""
    result = copy.deepcopy(module)
    return result, _apply_to(rewrite, result)


def _apply_to(rewrite: Rewrite, result: GraphModule) -> RewriteRecord:
    """Rewrite a graph that is the caller's own."""
    fired: list[str] = []
    refused: list[str] = []
    for node in [node for node in result.graph.nodes if rewrite.matches(node)]:
        if node._erased or not rewrite.matches(node):  # an earlier place may have changed it
            continue
        refusal = rewrite.check(result, node)
        if refusal is not None:
            refused.append(f"{node.name}: {refusal.reason}")
            continue
        before = set(result.graph.nodes)
        with result.graph.inserting_before(node):
            rewrite.rewrite(result, node)
        place_inserted(result.graph, before, node)
        result.graph.erase_node(node)  # dead code elimination keeps random ones such as dropout
        fired.append(node.name)
    if fired:
        _settle(result)
    return RewriteRecord(
        name=rewrite.name, applied=len(fired), sites=tuple(fired), match_failures=tuple(refused)
    )


def apply_all(
    rewrites: Iterable[Rewrite], module: GraphModule
) -> tuple[GraphModule, tuple[RewriteRecord, ...]]:
    """Apply rewrites in their order; `module` is left as it is."""
    result = copy.deepcopy(module)
    return result, tuple(_apply_to(rewrite, result) for rewrite in rewrites)


def _settle(module: GraphModule) -> None:
    """Drop what nothing reads any more, then recompute shapes and code."""
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    _delete_unused_tensors(module)
    module.graph.lint()
    module.recompile()
    refresh_shapes(module)


def _delete_unused_tensors(module: GraphModule) -> None:
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    held = (module.named_parameters, module.named_buffers)
    for name, _ in [pair for each in held for pair in each(remove_duplicate=False)]:
        if name not in used:
            owner, _, leaf = name.rpartition(".")
            delattr(module.get_submodule(owner), leaf)
