"""Propagate shapes through a captured graph, into each node's `meta["val"]`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp


class _Shapes(FakeTensorProp):
    """Fakes weights as well, so that in-place writes do not change the real ones."""

    def fetch_attr(self, target: str) -> Any:
        value = super().fetch_attr(target)
        return self._mode.from_tensor(value) if isinstance(value, Tensor) else value


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
