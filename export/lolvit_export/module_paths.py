"""The module path of each node of a captured graph.

torch.export records it in `meta["nn_module_stack"]`: the modules that were being called, outermost
first. Rewrites copy it to the nodes that they insert, so that a profile of an artifact can be
summed by module.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

STACK = "nn_module_stack"


def module_path(node: Node) -> str | None:
    """Return the path of the innermost module that a node was called in, such as
    `model.stages.0.1`, relative to the captured module; None where it is unknown."""
    stack = node.meta.get(STACK)
    if not stack:
        return None
    path, _ = list(stack.values())[-1]
    return str(path)


def copy_module_stack(source: Node, target: Node) -> None:
    """Give `target` the `nn_module_stack` of `source`, if that has one."""
    if STACK in source.meta:
        target.meta[STACK] = source.meta[STACK]


def tag_inserted_nodes(graph: Graph, before: Collection[Node], replaced: Node) -> None:
    """Give nodes that are not in `before`, and have no `nn_module_stack`, that of the replaced
    node."""
    for node in graph.nodes:
        if node not in before and STACK not in node.meta:
            copy_module_stack(replaced, node)


def transfer_module_stacks(module: GraphModule, program: ExportedProgram) -> None:
    """Copy each call's `nn_module_stack` to the same graph captured again, which has the same calls
    in the same order; calls that capture added or changed get none."""
    calls, captured = _calls(module.graph), _calls(program.graph)
    for node in captured:
        node.meta.pop(STACK, None)  # of the flat GraphModule, without information
    matcher = difflib.SequenceMatcher(None, _targets(calls), _targets(captured), autojunk=False)
    for first, second, length in matcher.get_matching_blocks():
        for step in range(length):
            copy_module_stack(calls[first + step], captured[second + step])


def _calls(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op == "call_function"]


def _targets(nodes: list[Node]) -> list[str]:
    return [str(node.target) for node in nodes]
