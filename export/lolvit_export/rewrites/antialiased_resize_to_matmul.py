"""Resize a map with antialiasing by two products with constant matrices.

    x (B, C, H, W) ── resize to (h, w), antialiased
becomes
    x ── matmul (W, w) ── swap ── matmul (H, h) ── swap

Such a resize is separable and linear: a row of its matrix is what it makes of a line of zeros with
one 1. litert-torch lacks the operation, coremltools writes one without antialiasing, and ONNX's is
another one by factors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_RESIZES = (aten._upsample_bilinear2d_aa.vec, aten._upsample_bicubic2d_aa.vec)


class AntialiasedResizeToMatmul(Rewrite):
    """Requires static shapes."""

    name = "antialiased_resize_to_matmul"
    ensures = "no resize with antialiasing"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_RESIZES)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, result = module.graph, node.args[0]
        assert isinstance(result, Node)
        for axis in (3, 2):
            matrix = _matrix(node, shape_of(result)[3], axis)
            weight = add_constant(module, f"{node.name}_{'hw'[axis - 2]}", matrix)
            result = call(graph, aten.matmul.default, result, weight)
            result = call(graph, aten.permute.default, result, [0, 1, 3, 2])
        node.replace_all_uses_with(result)


def _matrix(node: Node, extent: int, axis: int) -> Tensor:
    """Return how much of each of `extent` inputs (rows) each output along an axis has."""
    align, scales = node.args[2], argument(node, 3)
    lines = torch.eye(extent, dtype=node.meta["val"].dtype)[None, None]  # (1, 1, inputs, inputs)
    if scales is None:
        size = [extent, shape_of(node)[axis]]
        matrix = node.target(lines, size, align, None)  # type: ignore[operator]
    else:
        matrix = node.target(lines, None, align, [1.0, scales[axis - 2]])  # type: ignore[operator]
    rows: Tensor = matrix[0, 0]
    return rows
