"""Sample the nearest pixels as a mixture of pixels at whole coordinates.

    grid_sample(x, grid, nearest)      becomes     grid_sample(x, grid at whole pixels, bilinear)

At whole coordinates a mixture is the pixel itself, inside the map and outside of it. For
litert-torch, whose rounding LiteRT does not run: rounding alone is another rewrite's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_BILINEAR, _NEAREST, _REFLECTION = 0, 1, 2  # of grid_sampler's modes, and of its padding


class NearestSampleToBilinear(Rewrite):
    """Requires static shapes, and zeros or the border outside of the map."""

    name = "nearest_sample_to_bilinear"
    ensures = "no sample of the nearest pixels of a plane, but with reflection"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.grid_sampler.default) and argument(node, 2) == _NEAREST

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if len(shape_of(node)) != 4:
            return MatchFailure("it is of a volume")
        return MatchFailure("it is reflected") if argument(node, 3) == _REFLECTION else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, arguments = module.graph, node.args
        source: Any = arguments[0]
        align = bool(argument(node, 4, False))
        # pixel = scale · coordinate + shift, of x before y
        extents = shape_of(source)[:1:-1]
        scales = [(extent - 1) / 2 if align else extent / 2 for extent in extents]
        scales = [scale or 1.0 for scale in scales]  # of a single pixel any place will do
        shifts = [(extent - 1) / 2 for extent in extents]
        dtype = source.meta["val"].dtype
        scale = add_constant(module, f"{node.name}_scale", torch.tensor(scales, dtype=dtype))
        shift = add_constant(module, f"{node.name}_shift", torch.tensor(shifts, dtype=dtype))
        scaled = call(graph, aten.mul.Tensor, arguments[1], scale)
        whole = call(graph, aten.round.default, call(graph, aten.add.Tensor, scaled, shift))
        grid = call(graph, aten.div.Tensor, call(graph, aten.sub.Tensor, whole, shift), scale)
        sample = aten.grid_sampler.default
        result = call(graph, sample, source, grid, _BILINEAR, *arguments[3:])
        node.replace_all_uses_with(result)
