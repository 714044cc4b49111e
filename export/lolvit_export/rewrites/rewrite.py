"""The interface of a rewrite, and how rewrites are applied to a captured graph.

Match, check and rewrite are separate functions; a match failure carries its reason as data.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from torch.fx import GraphModule, Node

from lolvit.manifest import RewriteRecord
from lolvit_export.module_paths import tag_inserted_nodes
from lolvit_export.shapes import update_shapes


@dataclass(frozen=True)
class MatchFailure:
    """Why a rewrite does not apply to a node that it matches."""

    reason: str


class Rewrite(ABC):
    """A rewrite whose result is equal in value to what it replaces, up to rounding.

    A subclass has its algebra in its module's docstring, what it requires of the graph in its own,
    and in `ensures` what holds of the graph afterwards, wherever there was no match failure.
    """

    name: str
    ensures: str

    @abstractmethod
    def matches(self, node: Node) -> bool:
        """Tell whether `node` is the root of the pattern."""

    @abstractmethod
    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        """Return why the matched pattern can't be rewritten, or None if it can. Changes nothing."""

    @abstractmethod
    def rewrite(self, module: GraphModule, node: Node) -> None:
        """Replace the matched pattern, for which `check` has returned None."""


def apply(rewrite: Rewrite, module: GraphModule) -> tuple[GraphModule, RewriteRecord]:
    """Return a rewritten copy of `module`, with where it was applied and each match failure."""
    result = copy.deepcopy(module)
    return result, _apply_to(rewrite, result)


def _apply_to(rewrite: Rewrite, result: GraphModule) -> RewriteRecord:
    """Rewrite a graph that is the caller's own."""
    applied: list[str] = []
    match_failures: list[str] = []
    for node in list(result.graph.nodes):
        if node._erased or not rewrite.matches(node):
            continue
        failure = rewrite.check(result, node)
        if failure is not None:
            match_failures.append(f"{node.name}: {failure.reason}")
            continue
        before = set(result.graph.nodes)
        with result.graph.inserting_before(node):
            rewrite.rewrite(result, node)
        tag_inserted_nodes(result.graph, before, node)
        result.graph.erase_node(node)  # dead code elimination keeps random ones such as dropout
        applied.append(node.name)
    if applied:
        _clean_up(result)
    return RewriteRecord(
        name=rewrite.name,
        applied=len(applied),
        sites=tuple(applied),
        match_failures=tuple(match_failures),
    )


def apply_all(
    rewrites: Iterable[Rewrite], module: GraphModule
) -> tuple[GraphModule, tuple[RewriteRecord, ...]]:
    """Apply rewrites in their order; `module` is left as it is."""
    result = copy.deepcopy(module)
    return result, tuple(_apply_to(rewrite, result) for rewrite in rewrites)


def _clean_up(module: GraphModule) -> None:
    """Drop what nothing reads any more, then recompute code, and the shapes that changed."""
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    _delete_unused_tensors(module)
    module.graph.lint()
    module.recompile()
    update_shapes(module)


def _delete_unused_tensors(module: GraphModule) -> None:
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    held = (module.named_parameters, module.named_buffers)
    for name, _ in [pair for each in held for pair in each(remove_duplicate=False)]:
        if name not in used:
            owner, _, leaf = name.rpartition(".")
            delattr(module.get_submodule(owner), leaf)
