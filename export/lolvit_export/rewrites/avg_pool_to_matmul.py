"""Write an average pool, with the padding before it and the constant map behind it, as one product.

    x (C, H, W) ── pad ── avg_pool ── · coverage (a, b)
becomes
    x as (H·W, C) ── P (a·b, H·W)· ── (C, a, b)

All three are one linear map of the positions, the same for each channel; P is what it gives for
each unit map. Qualcomm's HTP pools fast only in windows whose sides are powers of two: its vendor's
estimate of LOLViT-X in half precision for the SA8797P falls from 2.60 to 0.52 ms, as each of three
3x3 pools over 9x9 positions is estimated at 0.7.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.channels_last_tokens import as_map, as_positions
from lolvit_export.rewrites.graph import (
    add_constant,
    argument,
    aten,
    call,
    constant,
    is_call,
    shape_of,
)
from lolvit_export.rewrites.pad_avg_pool_to_divisible import is_exact
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

# Elements of P: positions times windows. Beyond this a pool is the smaller evil.
_LARGEST_PRODUCT = 1 << 17


class AvgPoolToMatmul(Rewrite):
    """Requires exact windows."""

    name = "avg_pool_to_matmul"
    ensures = "no average pool of a small map"

    def matches(self, node: Node) -> bool:
        module = node.graph.owning_module
        assert module is not None
        if is_call(node, aten.avg_pool2d.default):
            return not any(_covers(module, reader) for reader in node.users)
        return _covers(module, node)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        *_, source = chain = _chain(node)
        pool = next(step for step in chain if is_call(step, aten.avg_pool2d.default))
        if not is_exact(pool):
            return MatchFailure("its windows are not exact")
        shape = shape_of(source)
        if len(shape) != 4 or shape[0] != 1:
            return MatchFailure(f"its map has the shape {shape}, not (1, C, H, W)")
        positions, windows = shape[2] * shape[3], shape_of(node)[2] * shape_of(node)[3]
        if positions * windows > _LARGEST_PRODUCT:
            return MatchFailure(
                f"{positions} positions in {windows} windows make too large a product"
            )
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        *steps, source = _chain(node)
        windows = add_constant(module, f"{node.name}_windows", _product(module, steps, source))
        positions = as_positions(module.graph, source)  # (1, 1, H·W, C)
        pooled = call(module.graph, aten.matmul.default, windows, positions)  # (1, 1, a·b, C)
        node.replace_all_uses_with(as_map(module.graph, pooled, shape_of(node)[2:]))


def _covers(module: GraphModule, node: Node) -> bool:
    """Whether a node multiplies a pool, which nobody else reads, by one map for all channels."""
    if not is_call(node, aten.mul.Tensor) or not is_call(node.args[0], aten.avg_pool2d.default):
        return False
    factor = constant(module, node.args[1])
    alone = len(node.args[0].users) == 1 and shape_of(node) == shape_of(node.args[0])
    return factor is not None and alone and factor.numel() == shape_of(node)[2] * shape_of(node)[3]


def _chain(node: Node) -> list[Node]:
    """Return the steps from the last back to the map that the first reads, which is the last."""
    chain = [node]
    if not is_call(node, aten.avg_pool2d.default):
        chain.append(_source(node))
    source = _source(chain[-1])
    if is_call(source, aten.constant_pad_nd.default) and not argument(source, 2, 0.0):
        chain.append(source)
        source = _source(source)
    return [*chain, source]


def _source(node: Node) -> Node:
    source = node.args[0]
    assert isinstance(source, Node)
    return source


def _product(module: GraphModule, steps: list[Node], source: Node) -> Tensor:
    """Return P, (1, 1, a·b, H·W): what the steps give for each unit map."""
    height, width = shape_of(source)[2:]
    unit = torch.eye(height * width, dtype=source.meta["val"].dtype)
    value = unit.reshape(1, -1, height, width)
    for step in reversed(steps):
        others = [constant(module, a) if isinstance(a, Node) else a for a in step.args[1:]]
        value = step.target(value, *others)  # type: ignore[operator]
    return value.flatten(2).transpose(1, 2).unsqueeze(0).contiguous()
