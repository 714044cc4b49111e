"""Write a transposed convolution with output padding or dilation as one with a larger kernel.

    conv_transpose2d(x, w (I, O, kh, kw), stride, padding, output_padding (a, b), dilation d)
becomes
    conv_transpose2d(x, w with d - 1 zeros between its rows and columns, and a rows and b columns of
                     zeros behind them, stride, padding, 0, 1)

A kernel that is longer by n gives n rows more at the end, to which zeros add nothing.

For litert-torch, which writes a convolution that TFLite's converter refuses.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

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
# Of all arguments but the first two: bias, stride, padding, output padding, groups, dilation.
_DEFAULTS = (None, None, None, 1, 0, 0, 1, 1)


class OutputPaddingToKernel(Rewrite):
    """Requires constant weights."""

    name = "output_padding_to_kernel"
    ensures = "no transposed convolution of constant weights has output padding or dilation"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.conv_transpose2d.input)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if _both(node) == ((0, 0), (1, 1)):
            return MatchFailure("it has no output padding, and no dilation")
        computed = constant(module, node.args[1]) is None
        return MatchFailure("its weight is computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        (below, right), (down, across) = _both(node)
        weight = constant(module, node.args[1])  # (in, out / groups, kh, kw)
        assert weight is not None
        *channels, height, width = weight.shape
        larger = weight.new_zeros(
            *channels, (height - 1) * down + 1 + below, (width - 1) * across + 1 + right
        )
        larger[:, :, : (height - 1) * down + 1 : down, : (width - 1) * across + 1 : across] = weight
        args = [*node.args, *_DEFAULTS[len(node.args) :]]
        args[1] = add_constant(module, f"{node.name}_weight", larger)
        args[_OUTPUT_PADDING], args[_DILATION] = [0, 0], [1, 1]
        result = call(module.graph, aten.conv_transpose2d.input, *args, **node.kwargs)
        assert shape_of(result) == shape_of(node)
        node.replace_all_uses_with(result)


def _both(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return output padding and dilation, as (height, width)."""
    return pair(argument(node, _OUTPUT_PADDING, 0)), pair(argument(node, _DILATION, 1))
