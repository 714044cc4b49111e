"""Write a grid of affine transforms as a product with the plain grid.

    affine_grid(theta, (B, C, H, W))      becomes     grid (H·W, 3) · thetaᵀ (B, 3, 2), reshaped

The rows of the plain grid are (x, y, 1) of each pixel: what the transform of ones and zeros gives.
coremltools fails on what the operation consists of.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class AffineGridToMatmul(Rewrite):
    """Requires a static size."""

    name = "affine_grid_to_matmul"
    ensures = "no grid of affine transforms of a plane"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.affine_grid_generator.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None if len(shape_of(node)) == 4 else MatchFailure("it is one of volumes")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, (theta, _, align) = module.graph, node.args[:3]
        assert isinstance(theta, Node)
        _, height, width, _ = shape_of(node)
        axes = torch.eye(3, dtype=theta.meta["val"].dtype)
        x_and_y = aten.affine_grid_generator.default(axes[None, :2], [1, 1, height, width], align)
        ones = torch.ones(height * width, 1, dtype=axes.dtype)
        plain = torch.cat([x_and_y.reshape(-1, 2), ones], 1)
        points = add_constant(module, f"{node.name}_points", plain)
        swapped = call(graph, aten.permute.default, theta, [0, 2, 1])
        product = call(graph, aten.matmul.default, points, swapped)
        node.replace_all_uses_with(call(graph, aten.reshape.default, product, [*shape_of(node)]))
