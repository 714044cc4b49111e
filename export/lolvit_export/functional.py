"""A captured program as a functional graph: no operation writes into a value that another reads,
and none depends on strides, so that a rewrite may replace any value by an equal one.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from lolvit_export.places import copy_place
from lolvit_export.shapes import refresh_shapes

aten = torch.ops.aten
_VIEWS = (aten.view.default, aten._unsafe_view.default)


def functional(program: ExportedProgram) -> GraphModule:
    """Return the program as a functional graph whose weights are attributes.

    What a model writes into its own buffers or into its input is left out: the graph gives the
    outputs of one forward pass.
    """
    module = _module(program)
    if not _read_results_only(module):
        module = _module(program.run_decompositions({}))
        _restore_batch_norm(module)
        assert _read_results_only(module), "run_decompositions leaves no write but to buffers"
    _reshape_for_view(module)
    module.graph.lint()
    module.recompile()
    refresh_shapes(module)
    return module


def _module(program: ExportedProgram) -> GraphModule:
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    # torch.export's own class refuses eval(), which converters call.
    return GraphModule(module, module.graph)


def _is_in_place(node: Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and bool(target._schema.is_mutable)


def _writes_show_elsewhere(module: GraphModule) -> bool:
    """Tell whether what an in-place operation writes is read under another name than its result's.

    Usually it is not, because capture follows the result. But a view taken before, or what the
    operation's input is a view of, changes too.
    """
    older: dict[int, list[Node]] = defaultdict(list)  # nodes so far, by the storage of their value
    places = {node: place for place, node in enumerate(module.graph.nodes)}
    for node, storage in _storages(module).items():
        if _is_in_place(node) and any(
            places[user] > places[node] for other in older[storage] for user in other.users
        ):
            return True
        older[storage].append(node)
    return False


def _storages(module: GraphModule) -> dict[Node, int]:
    """Return, in order, which storage each node's value lies in."""
    refresh_shapes(module)
    values = {node: node.meta.get("val") for node in module.graph.nodes}
    return {
        node: int(value.untyped_storage()._cdata)
        for node, value in values.items()
        if isinstance(value, Tensor)
    }


def _read_results_only(module: GraphModule) -> bool:
    """Replace `silu_` by `silu` and so on, and drop what nothing reads. False: that would not do,
    and nothing was changed."""
    in_place = [node for node in module.graph.nodes if _is_in_place(node)]
    if not in_place:
        return True
    read = {node: _functional_form(node) for node in in_place if node.users}
    if None in read.values() or _writes_show_elsewhere(module):
        return False
    for node in reversed(in_place):
        if node in read:
            node.target = read[node]
        else:
            module.graph.erase_node(node)
    return True


def _functional_form(node: Node) -> Any:
    """Return the operation that gives what an in-place one writes, or None."""
    overload = node.target
    assert isinstance(overload, torch._ops.OpOverload)
    name = overload._opname.removesuffix("_")
    packet = getattr(getattr(torch.ops, overload.namespace), name, None)
    if name == overload._opname or packet is None:
        return None
    return getattr(packet, overload._overloadname, None)


def _restore_batch_norm(module: GraphModule) -> None:
    """Undo one decomposition that can't be switched off: of BatchNorm in eval mode."""
    for node in list(module.graph.nodes):
        if node.target != aten._native_batch_norm_legit_no_training.default:
            continue
        image, weight, bias, mean, variance, momentum, eps = node.args
        with module.graph.inserting_before(node):
            whole = module.graph.call_function(
                aten.batch_norm.default,
                (image, weight, bias, mean, variance, False, momentum, eps, False),
            )
        copy_place(node, whole)
        for user in list(node.users):
            if user.target is operator.getitem and user.args[1] == 0:
                user.replace_all_uses_with(whole)
                module.graph.erase_node(user)
    module.graph.eliminate_dead_code()


def _reshape_for_view(module: GraphModule) -> None:
    """`view` fails on strides that it can't keep, and rewrites drop the copies before it."""
    for node in module.graph.nodes:
        if node.target in _VIEWS:
            node.target = aten.reshape.default
