"""Turn a ragged average pool into an exact one over an explicitly padded map.

    x ── avg_pool(k, stride k, ceil, pads not counted)
becomes
    x ── pad(0, end) ── avg_pool(k, stride k) ── · kₕ·k_w / (elements inside each window)

Exact pools (kernel = stride, extent divisible) are the only ones that every target computes right
and keeps on its accelerator. Where the extents divide, only the flags are dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class PadAvgPoolToDivisible(Rewrite):
    """Requires static shapes."""

    name = "pad_avg_pool_to_divisible"
    ensures = "average pools have kernel = stride, no padding, divisible extents"

    def matches(self, node: Node) -> bool:
        if is_call(node, aten.adaptive_avg_pool2d.default):
            return shape_of(node)[-2:] != (1, 1)
        return is_call(node, aten.avg_pool2d.default) and not is_exact(node)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if is_call(node, aten.adaptive_avg_pool2d.default):
            source, target = _extents(node)
            if any(extent % cells for extent, cells in zip(source, target, strict=True)):
                return MatchFailure("adaptive windows overlap or differ in size")
            return None
        kernel, stride = _kernel_and_stride(node)
        if kernel != stride:
            return MatchFailure(f"windows overlap or leave gaps: kernel {kernel}, stride {stride}")
        if pair(argument(node, 3, 0)) != (0, 0):
            return MatchFailure("windows are padded on both sides")
        if argument(node, 6) is not None:
            return MatchFailure("the divisor is overridden")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        image = node.args[0]
        assert isinstance(image, Node)
        source, target = _extents(node)
        kernel = _window(node)
        graph = module.graph
        missing = tuple(k * t - s for k, t, s in zip(kernel, target, source, strict=True))
        if min(missing) < 0:  # floor mode: the rows behind the last whole window are not read
            image = _crop(module, image, kernel, target)
        if max(missing) > 0:
            pads = [0, max(missing[1], 0), 0, max(missing[0], 0)]
            image = call(graph, aten.constant_pad_nd.default, image, pads, 0.0)
        pooled = call(graph, aten.avg_pool2d.default, image, list(kernel), list(kernel))
        if max(missing) > 0:
            scale = _coverage(source, kernel, target).to(node.meta["val"].dtype)
            scale = scale.reshape([1] * (len(shape_of(node)) - 2) + list(target))
            weights = add_constant(module, f"{node.name}_coverage", scale)
            pooled = call(graph, aten.mul.Tensor, pooled, weights)
        node.replace_all_uses_with(pooled)


def _kernel_and_stride(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    kernel = pair(argument(node, 1))
    return kernel, pair(argument(node, 2) or kernel)


def _extents(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    source = node.args[0]
    assert isinstance(source, Node)
    return shape_of(source)[-2:], shape_of(node)[-2:]


def _window(node: Node) -> tuple[int, int]:
    if is_call(node, aten.avg_pool2d.default):
        return _kernel_and_stride(node)[0]
    source, target = _extents(node)
    return source[0] // target[0], source[1] // target[1]


def is_exact(node: Node) -> bool:
    """Tell whether an average pool's windows tile the map: kernel = stride, extents divisible."""
    kernel, stride = _kernel_and_stride(node)
    source, _ = _extents(node)
    divides = all(s % k == 0 for s, k in zip(source, kernel, strict=True))
    unpadded = pair(argument(node, 3, 0)) == (0, 0) and argument(node, 6) is None
    return kernel == stride and divides and unpadded and not argument(node, 4, False)


def _crop(
    module: GraphModule, image: Node, kernel: tuple[int, int], target: tuple[int, ...]
) -> Node:
    for axis, (k, t) in zip((-2, -1), zip(kernel, target, strict=True), strict=True):
        if shape_of(image)[axis] > k * t:
            image = call(module.graph, aten.slice.Tensor, image, axis, 0, k * t)
    return image


def _coverage(source: tuple[int, ...], kernel: tuple[int, int], target: tuple[int, ...]) -> Tensor:
    """Return k·k / (elements inside), shape `target`, in float64."""
    inside = [
        torch.tensor([min(k, s - i * k) for i in range(t)], dtype=torch.float64)
        for s, k, t in zip(source, kernel, target, strict=True)
    ]
    return kernel[0] * kernel[1] / torch.outer(*inside)
