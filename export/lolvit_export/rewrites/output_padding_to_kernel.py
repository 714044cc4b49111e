"""Write a transposed convolution with output padding as one with a longer kernel.

    conv_transpose2d(x, w (I, O, kh, kw), stride, padding, output_padding (a, b), dilation d)
becomes
    conv_transpose2d(x, w with a/d rows and b/d columns of zeros behind it, stride, padding, 0, d)

A kernel that is longer by n gives n·d rows more at the end, to which zeros add nothing.

For litert-torch, which writes a convolution that TFLite's converter refuses.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node
from torch.nn import functional as F

from lolvit_export.rewrites.graph import (
    add_constant,
    argument,
    aten,
    call,
    constant,
    is_call,
    pair,
    shape_of,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_OUTPUT_PADDING, _DILATION = 5, 7  # places among the arguments


class OutputPaddingToKernel(Rewrite):
    """Requires constant weights, and output padding that is a multiple of the dilation."""

    name = "output_padding_to_kernel"
    ensures = "no transposed convolution of constant weights has output padding without dilation"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.conv_transpose2d.input)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        padding, dilation = _both(node)
        if padding == (0, 0):
            return MatchFailure("it has no output padding")
        if any(more % step for more, step in zip(padding, dilation, strict=True)):
            return MatchFailure("its output padding is no multiple of its dilation")
        computed = constant(module, node.args[1]) is None
        return MatchFailure("its weight is computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        (below, right), (down, across) = _both(node)
        weight = constant(module, node.args[1])  # (in, out / groups, kh, kw)
        assert weight is not None
        longer = F.pad(weight, (0, right // across, 0, below // down))
        args = [*node.args]
        args[1] = add_constant(module, f"{node.name}_weight", longer)
        args[_OUTPUT_PADDING] = [0, 0]
        result = call(module.graph, aten.conv_transpose2d.input, *args, **node.kwargs)
        assert shape_of(result) == shape_of(node)
        node.replace_all_uses_with(result)


def _both(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return output padding and dilation, as (height, width)."""
    return pair(argument(node, _OUTPUT_PADDING, 0)), pair(argument(node, _DILATION, 1))
