"""Shapes that are updated after a change are those of a whole propagation, and no others are
computed again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from lolvit.models import create_model
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.rewrites import CPU_REWRITES, INTEGER_REWRITES, STATIC_REWRITE, apply
from lolvit_export.rewrites.graph import aten, is_call
from lolvit_export.shapes import refresh_shapes, update_shapes
from tests.export.rewriting import Model, nodes, some_shapes


def shapes(graph: GraphModule) -> dict[str, Any]:
    """Return what a whole propagation finds of each node: shape, strides, type."""
    return {node.name: described(node.meta.get("val")) for node in graph.graph.nodes}


def described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    return [described(each) for each in value] if isinstance(value, (tuple, list)) else value


def whole(graph: GraphModule) -> dict[str, Any]:
    """Return the shapes of a whole propagation; the graph keeps those that it has."""
    fresh = copy.deepcopy(graph)
    refresh_shapes(fresh)
    return shapes(fresh)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("lolvit_xx", "classification"),
        ("lolvit_xx", "detection"),
        ("timm/ghostnet_050", "classification"),
        ("timm/mobilenetv3_small_050", "classification"),
    ],
)
def test_after_each_rewrite_all_shapes_are_those_of_a_whole_propagation(
    name: str, task: str
) -> None:
    model = reparameterize(create_model(name, task=task, size=(64, 64)).eval())
    graph = capture(model, (64, 64))
    applied = []
    for rewrite in (*STATIC_REWRITE, *CPU_REWRITES, *INTEGER_REWRITES):
        graph, record = apply(rewrite, graph)
        if record.applied:
            applied.append(rewrite.name)
            assert shapes(graph) == whole(graph), rewrite.name
    assert "fold_batch_norm" in applied


def small() -> GraphModule:
    """Capture a network whose convolution reads the sum of integers and floats."""

    def forward(m: Any, x: Tensor) -> Tensor:
        counts = (x > 0).long() * 2
        halves = m.conv(counts + x).relu()
        first, second = halves.split(4, 1)
        return torch.cat([first + 1, second.transpose(2, 3).transpose(2, 3)], 1).mean((2, 3))

    return capture(Model(forward, conv=nn.Conv2d(3, 8, 3, padding=1)), (6, 8))


SMALL = small()


def change(graph: GraphModule, node: Node, value: int) -> None:
    """Change how a node computes, in one of several ways that keep the graph running."""
    if is_call(node, aten.mul.Tensor):
        node.args = (node.args[0], (2, 2.0, True)[value % 3])
    elif is_call(node, aten.conv2d.default):
        node.args = (*node.args[:3], [1, 1], [value, value])
    elif is_call(node, aten.mean.dim):
        node.args = (node.args[0], [2 + value % 2], bool(value % 2))
    elif is_call(node, aten.relu.default):
        with graph.graph.inserting_after(node):
            added = graph.graph.call_function(aten.avg_pool2d.default, (node, [1 + value % 2] * 2))
        node.replace_all_uses_with(added, delete_user_cb=lambda user: user is not added)


@some_shapes
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=4))
def test_after_any_changes_all_shapes_are_those_of_a_whole_propagation(
    changes: list[tuple[int, int]],
) -> None:
    graph = copy.deepcopy(SMALL)
    for index, value in changes:
        every = list(graph.graph.nodes)
        change(graph, every[index % len(every)], value)
        if value % 2:
            update_shapes(graph)
    update_shapes(graph)
    assert shapes(graph) == whole(graph)


def test_an_equal_number_of_another_type_changes_the_type_of_the_result() -> None:
    graph = copy.deepcopy(SMALL)
    (product,) = nodes(graph, "mul")
    assert product.meta["val"].dtype == torch.int64
    product.args = (product.args[0], 2.0)
    update_shapes(graph)
    assert product.meta["val"].dtype == torch.float32
    assert shapes(graph) == whole(graph)


def test_only_what_follows_a_change_is_computed_again_as_far_as_shapes_change() -> None:
    graph = copy.deepcopy(SMALL)
    before = {node: node.meta["val"] for node in graph.graph.nodes}
    (convolution,), (mean,) = nodes(graph, "conv2d"), nodes(graph, "mean")
    convolution.args = (*convolution.args[:3], [1, 1], [2, 2])
    update_shapes(graph)
    computed = [node.name for node in before if node.meta["val"] is not before[node]]
    calls = [node.name for node in before if node.op == "call_function"]
    # the mean is computed again, as its input is larger; the output reads the same shape
    assert computed == calls[calls.index(convolution.name) : calls.index(mean.name) + 1]


def test_a_value_that_something_else_has_written_is_computed_again() -> None:
    graph = copy.deepcopy(SMALL)
    (mean,) = nodes(graph, "mean")
    mean.meta["val"] = torch.zeros(1)
    update_shapes(graph)
    assert shapes(graph) == shapes(SMALL)
