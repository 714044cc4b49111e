"""Propagate shapes through a captured graph, into each node's `meta["val"]`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

_PROPAGATED = "lolvit_propagated"  # in a node's meta: what its value was computed from, and it


class _Shapes(FakeTensorProp):
    """Computes the values of all nodes, or, with `keep`, of those that are called otherwise than
    when their value was computed: another operation, other arguments, or an input of another shape
    or type. So a change reaches the nodes after it only as far as values change.

    Weights are faked as well, so that in-place writes do not change the real ones.
    """

    def __init__(self, module: GraphModule, mode: FakeTensorMode, *, keep: bool = False) -> None:
        super().__init__(module, mode)
        self._keep = keep

    def run_node(self, n: Node) -> Any:
        called = self._described_call(n)
        if self._keep and "val" in n.meta:
            before, value = n.meta.get(_PROPAGATED, (None, None))
            if before == called and value is n.meta["val"]:
                return value
        result = super().run_node(n)
        if "val" in n.meta:
            n.meta[_PROPAGATED] = called, n.meta["val"]
        return result

    def _described_call(self, node: Node) -> tuple[Any, ...]:
        """Return all that the shapes and types of a node's value depend on."""
        if node.op == "get_attr":
            return node.op, _described(super().fetch_attr(str(node.target)))
        if node.op == "placeholder":
            return (node.op,)
        return node.op, node.target, _described(self.fetch_args_kwargs_from_env(node))

    def fetch_attr(self, target: str) -> Any:
        value = super().fetch_attr(target)
        return self._mode.from_tensor(value) if isinstance(value, Tensor) else value


def _described(value: Any) -> Any:
    """Return shapes and types of the tensors in a value, and everything else as it is: equal for
    two values only if an operation gives results of the same shapes and types for both."""
    if isinstance(value, Tensor):
        strides = value.stride() if value.layout is torch.strided else None
        return type(value), value.dtype, tuple(value.shape), value.layout, strides
    if isinstance(value, dict):
        return dict, tuple((key, _described(item)) for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return tuple, tuple(_described(item) for item in value)
    if isinstance(value, nn.Module):  # of a branch or a loop: may have been changed in place
        return object()
    return type(value), value  # 1, 1.0 and True are equal, and promote types differently


def ensure_shapes(module: GraphModule, image: tuple[int, ...]) -> None:
    """Compute `meta["val"]` of a graph that has none, because pickling drops it; `image` is the
    input's shape (B, C, H, W)."""
    placeholder = next(node for node in module.graph.nodes if node.op == "placeholder")
    if "val" not in placeholder.meta:
        placeholder.meta["val"] = torch.empty(image)
        refresh_shapes(module)


def refresh_shapes(module: GraphModule) -> None:
    """Recompute `meta["val"]` of every node from the input's."""
    placeholder = next(node for node in module.graph.nodes if node.op == "placeholder")
    image = placeholder.meta["val"]
    _Shapes(module, FakeTensorMode(allow_non_fake_inputs=True)).propagate(
        torch.empty(tuple(image.shape), dtype=image.dtype)
    )


def update_shapes(module: GraphModule) -> None:
    """Recompute `meta["val"]` where a functional graph has changed since its shapes were last
    computed here: equal to `refresh_shapes`, but for storages that values share."""
    placeholder = next(node for node in module.graph.nodes if node.op == "placeholder")
    image = placeholder.meta["val"]
    if _PROPAGATED not in placeholder.meta or not isinstance(image, FakeTensor):
        refresh_shapes(module)
        return
    _Shapes(module, image.fake_mode, keep=True).propagate_dont_convert_inputs(image)
