"""Write a deformable convolution as samples of the map and a 1x1 convolution.

    deform_conv2d(x, W, offset, mask)
becomes
    x ── grid_sample at each place of the kernel, moved by its offset ── · mask ── conv2d (1x1)

A convolution with K places of C channels is a 1x1 convolution of C·K samples (Zhu et al.,
Deformable ConvNets v2, arXiv 1811.11168, equation 1). Outside of the map the samples are 0, as
those of grid_sample with zeros. Neither torch's exporter for opset 18, litert-torch nor coremltools
has the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, constant, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_BILINEAR, _ZEROS = 0, 0  # of grid_sampler's modes


class DeformConvToGridSample(Rewrite):
    """Requires static shapes and a constant weight."""

    name = "deform_conv_to_grid_sample"
    ensures = "no deformable convolution"

    def matches(self, node: Node) -> bool:
        return str(node.target) == "torchvision.deform_conv2d.default"

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        computed = constant(module, node.args[1]) is None
        return MatchFailure("its weight is computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        arguments: Any = node.args
        source, weight, offset, mask, bias, *_, groups, parts, masked = arguments
        graph, table = module.graph, constant(module, weight)
        assert table is not None
        places, channels = table.shape[2] * table.shape[3], shape_of(source)[1] // parts
        batch, _, height, width = shape_of(node)
        sampled = []
        for part in range(parts):
            first = part * places
            grid = _grid(module, node, offset, first)
            share = call(
                graph, aten.slice.Tensor, source, 1, part * channels, (part + 1) * channels
            )
            sample = aten.grid_sampler.default
            values = call(graph, sample, share, grid, _BILINEAR, _ZEROS, False)
            if masked:
                factors = call(graph, aten.slice.Tensor, mask, 1, first, first + places)
                rows = [batch, 1, places * height, width]
                factors = call(graph, aten.reshape.default, factors, rows)
                values = call(graph, aten.mul.Tensor, values, factors)
            shape = [batch, channels * places, height, width]
            sampled.append(call(graph, aten.reshape.default, values, shape))
        whole = sampled[0] if parts == 1 else call(graph, aten.cat.default, sampled, 1)
        pointwise = add_constant(module, f"{node.name}_weight", table.flatten(1)[..., None, None])
        one, none = [1, 1], [0, 0]
        result = call(graph, aten.conv2d.default, whole, pointwise, bias, one, none, one, groups)
        node.replace_all_uses_with(result)


def _grid(module: GraphModule, node: Node, offset: Node, first: int) -> Node:
    """Return where a kernel's places are sampled, (batch, places · height, width, 2): x and y from
    -1 to 1 over the map, of the offsets (y and x, in pixels) from place `first` on."""
    graph, (source, weight) = module.graph, node.args[:2]
    table = constant(module, weight)
    assert isinstance(source, Node) and table is not None
    places, coordinates = table.shape[2] * table.shape[3], []
    batch, _, height, width = shape_of(node)
    for axis in (1, 0):  # x before y
        extent = shape_of(source)[2 + axis]
        moved = call(graph, aten.slice.Tensor, offset, 1, 2 * first + axis, 2 * (first + places), 2)
        plain = _places(node, table.shape[2:], axis).to(moved.meta["val"].dtype)
        pixel = call(
            graph, aten.add.Tensor, moved, add_constant(module, f"{node.name}_places", plain)
        )
        scaled = call(graph, aten.mul.Tensor, pixel, 2 / extent)
        coordinates.append(call(graph, aten.add.Tensor, scaled, 1 / extent - 1))
    grid = call(graph, aten.stack.default, coordinates, -1)
    return call(graph, aten.reshape.default, grid, [batch, places * height, width, 2])


def _places(node: Node, kernel: Sequence[int], axis: int) -> Tensor:
    """Return the row (axis 0) or column of each of a plain kernel's places for each output, in
    pixels, (1, places, height, width)."""
    steps: Any = [node.args[5 + 2 * kind + axis] for kind in range(3)]
    stride, padding, dilation = steps
    _, _, height, width = shape_of(node)
    taps = torch.arange(kernel[axis]) * dilation - padding
    pixels = torch.arange((height, width)[axis]) * stride
    grid = torch.zeros(*kernel, height, width)
    of_kernel, of_map = [1, 1, 1, 1], [1, 1, 1, 1]
    of_kernel[axis], of_map[2 + axis] = -1, -1
    grid = grid + taps.reshape(of_kernel) + pixels.reshape(of_map)
    places: Tensor = grid.reshape(1, -1, height, width)
    return places
