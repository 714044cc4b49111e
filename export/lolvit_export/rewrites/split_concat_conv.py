"""Convolve each input of a Concat by itself where a 1x1 convolution reads the Concat.

    concat(x_1 ... x_n) ── conv 1x1 (W, b)
becomes
    conv 1x1 (W_1, b)·x_1 + conv 1x1 (W_2)·x_2 + ... + conv 1x1 (W_n)·x_n

with W_i the columns of W that meet x_i's channels. Parameters and multiply-adds are the same; the
copy that a Concat makes goes, and sums come instead, which a runtime can add up inside the
convolution (ONNX Runtime does, at all 12 places of LOLViT-X).

LOLViT-X at 256x256 without this rewrite over with it, one core, 2026-11-28, interleaved runs in
eight processes: ONNX Runtime 1.013 (0.997 to 1.034), LiteRT 1.004 (0.971 to 1.028). In fp16 it is
1.82 in ONNX Runtime, which computes in float32 there and casts around each Concat. MobileViT-XS
joins before 3x3 convolutions only and is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.module_paths import copy_module_stack
from lolvit_export.rewrites.graph import (
    CONVOLUTIONS,
    argument,
    aten,
    call,
    computed_weight,
    constant,
    is_call,
    shape_of,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


@dataclass(frozen=True)
class _Site:
    parts: list[Node]  # each (B, channels, H, W)
    weight: Tensor  # (out, sum of channels, 1, 1)
    bias: Tensor | None  # (out,)


class SplitConcatConv(Rewrite):
    """Requires BatchNorm folded, so that the convolution has the bias, and heads split, which
    looks for the convolution that this takes apart."""

    name = "split_concat_conv"
    ensures = "no Concat of channels whose only reader is a 1x1 convolution"

    def matches(self, node: Node) -> bool:
        return is_call(node, *CONVOLUTIONS) and is_call(node.args[0], aten.cat.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        site = _site(module, node)
        return site if isinstance(site, MatchFailure) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        site = _site(module, node)
        assert isinstance(site, _Site)
        widths = [shape_of(part)[1] for part in site.parts]
        total: Node | None = None
        for index, weight in enumerate(torch.split(site.weight, widths, dim=1)):
            bias = site.bias if index == 0 else None
            hint = f"{node.name}_part{index}"
            made = with_weights(module, node, hint, weight, bias, source=site.parts[index])
            if total is not None:
                made = call(module.graph, aten.add.Tensor, total, made)
                copy_module_stack(node, made)
            total = made
        assert total is not None
        node.replace_all_uses_with(total)


def _site(module: GraphModule, node: Node) -> _Site | MatchFailure:
    """Read the inputs of conv(concat(...)), or return why they can't be convolved one by one."""
    concat = node.args[0]
    assert isinstance(concat, Node)
    computed = computed_weight(module, node)
    if computed is not None:
        return MatchFailure(f"the convolution's {computed} is computed, not constant")
    weight = constant(module, argument(node, 1))
    assert weight is not None
    if argument(node, 6, 1) != 1:
        return MatchFailure("the convolution is grouped")
    if tuple(weight.shape[2:]) != (1, 1):
        return MatchFailure("the kernel is larger than 1x1")
    if len(concat.users) != 1:
        return MatchFailure("the Concat has another reader, which needs the copy all the same")
    parts = _joined(concat)
    if isinstance(parts, MatchFailure):
        return parts
    return _Site(parts, weight, constant(module, argument(node, 2)))


def _joined(concat: Node) -> list[Node] | MatchFailure:
    """Return what a Concat joins by channels, each with some."""
    parts: list[Node] = list(argument(concat, 0))
    rank = len(shape_of(concat))
    if rank != 4:
        return MatchFailure(f"the Concat has rank {rank}, not 4")
    axis = int(argument(concat, 1, 0)) % rank
    if axis != 1:
        return MatchFailure(f"the Concat joins axis {axis}, not the channels")
    if len(parts) < 2:
        return MatchFailure("the Concat has a single input")
    if any(len(shape_of(part)) != rank or shape_of(part)[1] == 0 for part in parts):
        return MatchFailure("an input of the Concat is empty")
    if len({part.meta["val"].dtype for part in parts}) != 1:
        return MatchFailure("the Concat changes the type of an input")
    return parts
