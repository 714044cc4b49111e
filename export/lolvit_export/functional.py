"""Functionalize a captured program: no operation writes in place into a value that another reads,
and none depends on strides, so that a rewrite can replace any value by an equal one.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from lolvit_export.module_paths import copy_module_stack
from lolvit_export.shapes import refresh_shapes, update_shapes

aten = torch.ops.aten
_VIEWS = (aten.view.default, aten._unsafe_view.default)
# What gives a tensor of its own, whatever it is given.
_NEW = (
    aten.conv2d.default, aten.batch_norm.default, aten.linear.default, aten.cat.default,
    aten.add.Tensor, aten.mul.Tensor, aten.layer_norm.default, aten.group_norm.default,
)  # fmt: skip


def functionalize(program: ExportedProgram) -> GraphModule:
    """Return the program as a functional graph whose weights are attributes.

    Writes into the model's own buffers or its input are dropped: the graph computes the outputs of
    one forward pass.
    """
    module = _module(program)
    if not _replace_in_place(module):
        module = _module(program.run_decompositions({}))
        _restore_batch_norm(module)
        assert _replace_in_place(module), "run_decompositions leaves no write but to buffers"
    _reshape_for_view(module)
    module.graph.lint()
    module.recompile()
    update_shapes(module)
    return module


def _module(program: ExportedProgram) -> GraphModule:
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    # torch.export's own class raises on eval(), which converters call.
    return GraphModule(module, module.graph)


def _is_in_place(node: Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and bool(target._schema.is_mutable)


def _writes_are_aliased(module: GraphModule) -> bool:
    """Whether a value that an in-place operation writes is read through an alias.

    Usually it is not, because capture uses the operation's result. But a view taken before it, or
    the base of its input, changes too.
    """
    if all(_writes_alone(node) for node in module.graph.nodes if _is_in_place(node)):
        return False
    older: dict[int, list[Node]] = defaultdict(list)  # nodes so far, by the storage of their value
    order = {node: index for index, node in enumerate(module.graph.nodes)}
    for node, storage in _storages(module).items():
        if _is_in_place(node) and any(
            order[user] > order[node] for other in older[storage] for user in other.users
        ):
            return True
        older[storage].append(node)
    return False


def _writes_alone(node: Node) -> bool:
    """Whether an in-place operation writes into what nothing else can read: a tensor of its own
    that it alone takes, as an activation that takes a normalization's result."""
    written = node.args[0]
    return isinstance(written, Node) and written.target in _NEW and len(written.users) == 1


def _storages(module: GraphModule) -> dict[Node, int]:
    """Return, in graph order, the storage of each node's value."""
    refresh_shapes(module)
    values = {node: node.meta.get("val") for node in module.graph.nodes}
    return {
        node: int(value.untyped_storage()._cdata)
        for node, value in values.items()
        if isinstance(value, Tensor)
    }


def _replace_in_place(module: GraphModule) -> bool:
    """Replace in-place operations by their out-of-place forms (`silu_` by `silu`), and remove those
    without readers. Return False, with nothing changed, if that would not be equal."""
    in_place = [node for node in module.graph.nodes if _is_in_place(node)]
    if not in_place:
        return True
    read = {node: _functional_form(node) for node in in_place if node.users}
    if None in read.values() or _writes_are_aliased(module):
        return False
    for node in reversed(in_place):
        if node in read:
            node.target = read[node]
        else:
            module.graph.erase_node(node)
    return True


def _functional_form(node: Node) -> Any:
    """Return the out-of-place form of an in-place operation, or None."""
    overload = node.target
    assert isinstance(overload, torch._ops.OpOverload)
    name = overload._opname.removesuffix("_")
    packet = getattr(getattr(torch.ops, overload.namespace), name, None)
    if name == overload._opname or packet is None:
        return None
    return getattr(packet, overload._overloadname, None)


def _restore_batch_norm(module: GraphModule) -> None:
    """Undo the decomposition of BatchNorm in eval mode, which can't be disabled."""
    for node in list(module.graph.nodes):
        if node.target != aten._native_batch_norm_legit_no_training.default:
            continue
        image, weight, bias, mean, variance, momentum, eps = node.args
        with module.graph.inserting_before(node):
            whole = module.graph.call_function(
                aten.batch_norm.default,
                (image, weight, bias, mean, variance, False, momentum, eps, False),
            )
        copy_module_stack(node, whole)
        for user in list(node.users):
            if user.target is operator.getitem and user.args[1] == 0:
                user.replace_all_uses_with(whole)
                module.graph.erase_node(user)
    module.graph.eliminate_dead_code()


def _reshape_for_view(module: GraphModule) -> None:
    """Replace `view`, which fails on strides that it can't keep: rewrites drop the copies before
    it."""
    for node in module.graph.nodes:
        if node.target in _VIEWS:
            node.target = aten.reshape.default
