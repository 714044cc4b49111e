"""Cut the border of a transposed convolution off its output, where TFLite has no padding for it.

    conv_transpose2d(x, w, stride s, padding p)
becomes
    conv_transpose2d(x, w, stride s, padding 0) ── slice p … -p, in both directions

That is what the padding means. TFLite pads so that the output has s times the extent, where kernel
less 2·p is s, or not at all; litert-torch writes others as a convolution that the converter
refuses.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_STRIDE, _PADDING = 3, 4  # places among the arguments


class TransposedPaddingToSlice(Rewrite):
    """Requires that there is no output padding and no dilation."""

    name = "transposed_padding_to_slice"
    ensures = "a transposed convolution is padded as TFLite does, or not at all"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.conv_transpose2d.input)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        padding, stride = pair(argument(node, _PADDING, 0)), pair(argument(node, _STRIDE, 1))
        if padding == (0, 0):
            return MatchFailure("it has no padding")
        kernel = shape_of(node.args[1])[2:]  # type: ignore[arg-type]
        kept = tuple(k - 2 * p for k, p in zip(kernel, padding, strict=True))
        return MatchFailure("its padding is TFLite's") if kept == stride else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, padding = module.graph, pair(argument(node, _PADDING, 0))
        args = [*node.args]
        args[_PADDING] = [0, 0]
        result = call(graph, aten.conv_transpose2d.input, *args, **node.kwargs)
        for axis, (border, extent) in enumerate(
            zip(padding, shape_of(result)[2:], strict=True), start=2
        ):
            if border:
                result = call(graph, aten.slice.Tensor, result, axis, border, extent - border)
        assert shape_of(result) == shape_of(node)
        node.replace_all_uses_with(result)
