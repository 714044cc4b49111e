"""Which module of the model each node of a captured graph comes from.

torch.export notes it in `meta["nn_module_stack"]`: the modules that were being called, outermost
first. Rewrites hand it on to what they insert, so that the time of an artifact's operations can be
summed by part of the model.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

STACK = "nn_module_stack"


def path_of(node: Node) -> str | None:
    """Return the path of the module that a node was called in, such as `model.stages.0.1`, from
    the module that was captured; None where it is not known."""
    stack = node.meta.get(STACK)
    if not stack:
        return None
    path, _ = list(stack.values())[-1]
    return str(path)


def copy_place(source: Node, target: Node) -> None:
    """Note that `target` comes from where `source` does."""
    if STACK in source.meta:
        target.meta[STACK] = source.meta[STACK]


def place_inserted(graph: Graph, before: Collection[Node], replaced: Node) -> None:
    """Give the nodes that are not in `before`, and know no place, that of the replaced one."""
    for node in graph.nodes:
        if node not in before and STACK not in node.meta:
            copy_place(replaced, node)


def keep_places(module: GraphModule, program: ExportedProgram) -> None:
    """Hand the places of a graph's calls on to the same graph captured again, which has the same
    calls in the same order; one that capture added or changed gets none."""
    given, made = _calls(module.graph), _calls(program.graph)
    for node in made:
        node.meta.pop(STACK, None)  # of the flat graph's own class: says nothing
    matcher = difflib.SequenceMatcher(None, _targets(given), _targets(made), autojunk=False)
    for first, second, length in matcher.get_matching_blocks():
        for step in range(length):
            copy_place(given[first + step], made[second + step])


def _calls(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op == "call_function"]


def _targets(nodes: list[Node]) -> list[str]:
    return [str(node.target) for node in nodes]
