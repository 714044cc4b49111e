"""Compute with complex numbers as pairs of real ones.

    fft(x)                          becomes     complex(x·C, -x·S), of constant matrices
    complex(a, b) · complex(c, d)   becomes     complex(ac - bd, ad + bc)
    reshape(complex(a, b))          becomes     complex(reshape(a), reshape(b))
    |complex(a, b)|                 becomes     √(a² + b²)

and so on, in the order of the graph, so that each operation reads pairs; what is left at the end,
real parts or magnitudes, reads none of the `complex` nodes any more.

litert-torch and coremltools have no complex numbers, and torch's ONNX exporter fails on some that
are written in place (GFNet's filters, LaMa's Fourier units, Fourier neural operators).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.fourier import Pair, transform
from lolvit_export.rewrites.graph import add_constant, argument, aten, call, constant, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

# (inverse, real on one side) of the transforms along one axis, two, or several.
_TRANSFORMS = {
    getattr(aten, f"fft_{name}{axes}").default: (name in ("ifft", "irfft"), "r" in name)
    for name in ("fft", "ifft", "rfft", "irfft")
    for axes in ("", "2", "n")
}
_MOST_VALUES = 2048  # along an axis: two matrices of 16 MB
_SHIFTS = (aten.fft_fftshift.default, aten.fft_ifftshift.default)
# The same is done to both parts.
_LAYOUTS = (
    aten.reshape.default, aten.view.default, aten.permute.default, aten.transpose.int,
    aten.slice.Tensor, aten.select.int, aten.unsqueeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.roll.default, aten.flatten.using_ints, aten.expand.default,
    aten.contiguous.default, aten.clone.default, aten.neg.default, aten.mean.dim, aten.mean.default,
    aten.sum.dim_IntList, aten.sum.default, aten.cat.default, aten.stack.default, aten.flip.default,
)  # fmt: skip
_ZEROS = (aten.zeros.default, aten.new_zeros.default, aten.zeros_like.default)
_SCATTERS = (aten.slice_scatter.default, aten.select_scatter.default, aten.copy.default)
_PRODUCTS = (aten.mul.Tensor, aten.matmul.default, aten.bmm.default)
_SUMS = (aten.add.Tensor, aten.sub.Tensor)
_CONJUGATES = (aten.conj.default, aten._conj.default, aten.conj_physical.default)
_SAME = (aten.resolve_conj.default, aten.resolve_neg.default, aten.alias.default)


class ComplexToPairs(Rewrite):
    """Requires static shapes."""

    name = "complex_to_pairs"
    ensures = "no complex number but in operations that are not known here"

    def matches(self, node: Node) -> bool:
        if node.op != "call_function" or is_call(node, aten.complex.default):
            return False
        values = [node, *node.all_input_nodes]
        return any(getattr(each.meta.get("val"), "is_complex", bool)() for each in values)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if node.target not in _TRANSFORMS and _KNOWN.get(node.target) is None:
            return MatchFailure(f"{node.target} of complex numbers is not known")
        if node.kwargs.get("dtype") is not None and not is_call(node, *_ZEROS):
            return MatchFailure("the type is changed")
        if node.target in _SUMS and argument(node, 2, 1) != 1:
            return MatchFailure("it has a factor")
        if any(_is_complex(each) and not _known(module, each) for each in node.all_input_nodes):
            return MatchFailure("it reads what was left complex")
        long = node.target in _TRANSFORMS and max(shape(node)) > _MOST_VALUES
        return MatchFailure(f"it is of more than {_MOST_VALUES} values") if long else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        write = _transformed if node.target in _TRANSFORMS else _KNOWN[node.target]
        real, imaginary = write(module, node)
        if imaginary is None:
            node.replace_all_uses_with(real)
        else:
            both = call(module.graph, aten.complex.default, real, imaginary)
            node.replace_all_uses_with(both)


def _is_complex(node: object) -> bool:
    return isinstance(node, Node) and node.meta["val"].is_complex()


def _known(module: GraphModule, node: Node) -> bool:
    return is_call(node, aten.complex.default) or constant(module, node) is not None


def _parts(module: GraphModule, node: Any) -> Pair:
    """Return the parts of a node or number."""
    if isinstance(node, complex):
        return node.real, node.imag  # type: ignore[return-value]
    if not _is_complex(node):
        return node, None
    if (value := constant(module, node)) is not None:
        real = add_constant(module, f"{node.name}_real", value.real)
        return real, add_constant(module, f"{node.name}_imaginary", value.imag)
    return node.args[0], node.args[1]


def _transformed(module: GraphModule, node: Node) -> Pair:
    inverse, half = _TRANSFORMS[node.target]
    value = _parts(module, node.args[0])
    axes = _axes(node, len(shape(value[0])))
    order = [*zip(axes, _sizes(node, value[0], axes, grows=inverse and half), strict=True)]
    norm = argument(node, 3) or "backward"
    # The real side is the last axis: first on the way there, last on the way back.
    for axis, extent in order if half and inverse else reversed(order):
        last = axis == axes[-1]
        value = transform(module, value, axis, extent, norm, inverse=inverse, half=half and last)
    return value


def _axes(node: Node, rank: int) -> list[int]:
    """Return the axes of a transform: by default the last one, two, those of the sizes, or all."""
    axes, sizes = argument(node, 2), argument(node, 1)
    if axes is None:
        name = str(getattr(node.target, "_opname", ""))
        every = rank if sizes is None else len(sizes) if name.endswith("n") else 0
        count = {"2": 2, "n": every}.get(name[-1], 1)
        axes = [*range(rank - count, rank)]
    return [int(axis) % rank for axis in ([axes] if isinstance(axes, int) else axes)]


def _sizes(node: Node, source: Node, axes: list[int], *, grows: bool) -> list[int]:
    """Return how many values each axis is transformed as; -1 is its extent."""
    extents, sizes = [shape(source)[axis] for axis in axes], argument(node, 1)
    if grows:
        extents[-1] = 2 * (extents[-1] - 1)
    if sizes is None:
        return extents
    given = [sizes] if isinstance(sizes, int) else sizes
    return [size if size > 0 else extent for size, extent in zip(given, extents, strict=True)]


def _laid_out(module: GraphModule, node: Node) -> Pair:
    graph, (first, *rest) = module.graph, node.args
    if isinstance(first, (list, tuple)):
        pairs = [_whole(module, _parts(module, each)) for each in first]
        both = ([real for real, _ in pairs], [imaginary for _, imaginary in pairs])
    else:
        both = _parts(module, first)  # type: ignore[assignment]
    real, imaginary = (call(graph, node.target, part, *rest, **node.kwargs) for part in both)
    return real, imaginary


def _whole(module: GraphModule, value: Pair) -> tuple[Node, Node]:
    """Return a pair with zeros where a value is real."""
    real, imaginary = value
    return real, imaginary or call(module.graph, aten.zeros_like.default, real)


def _shifted(module: GraphModule, node: Node) -> Pair:
    real, imaginary = _parts(module, node.args[0])
    axes = argument(node, 1)
    axes = [*range(len(shape(real)))] if axes is None else [axes] if isinstance(axes, int) else axes
    halves = [shape(real)[axis] // 2 for axis in axes]
    if node.target == aten.fft_ifftshift.default:
        halves = [-(-shape(real)[axis] // 2) for axis in axes]
    roll = aten.roll.default
    rolled = [call(module.graph, roll, part, halves, axes) for part in (real, imaginary) if part]
    return rolled[0], rolled[1]


def _sum(module: GraphModule, node: Node) -> Pair:
    (a, b), (c, d) = (_parts(module, each) for each in node.args[:2])
    graph = module.graph
    real = call(graph, node.target, a, c)
    none = call(graph, aten.zeros_like.default, real)
    first, second = (none if part is None else part for part in (b, d))
    return real, call(graph, node.target, first, second)


def _zeros(module: GraphModule, node: Node) -> Pair:
    dtype = node.meta["val"].dtype.to_real()
    zero = add_constant(module, node.name, torch.zeros(shape(node), dtype=dtype))
    return zero, zero


def _scattered(module: GraphModule, node: Node) -> Pair:
    whole, part = (_whole(module, _parts(module, each)) for each in node.args[:2])
    real, imaginary = (
        call(module.graph, node.target, *both, *node.args[2:], **node.kwargs)
        for both in zip(whole, part, strict=True)
    )
    return real, imaginary


def _multiplied(module: GraphModule, node: Node) -> Pair:
    first, second = (_parts(module, each) for each in node.args[:2])
    return _product(module, first, second, node.target)


def _product(module: GraphModule, first: Pair, second: Pair, target: Any = aten.mul.Tensor) -> Pair:
    (a, b), (c, d) = first, second

    def times(left: Any, right: Any) -> Node:
        values = (left, right) if isinstance(left, Node) else (right, left)
        return call(module.graph, target, *values)

    if b is None:
        return times(a, c), times(a, d)
    if d is None:
        return times(a, c), times(b, c)
    graph = module.graph
    real = call(graph, aten.sub.Tensor, times(a, c), times(b, d))
    return real, call(graph, aten.add.Tensor, times(a, d), times(b, c))


def _divided(module: GraphModule, node: Node) -> Pair:
    """x / z = x · conj(z) / |z|²."""
    graph = module.graph
    (a, b), (c, d) = (_parts(module, each) for each in node.args[:2])
    if d is None:
        assert b is not None
        return call(graph, node.target, a, c), call(graph, node.target, b, c)
    squared = _squared(module, (c, d))
    conjugate = call(graph, aten.neg.default, d)
    real, imaginary = _product(module, (a, b), (c, conjugate))
    assert imaginary is not None
    return (
        call(graph, aten.div.Tensor, real, squared),
        call(graph, aten.div.Tensor, imaginary, squared),
    )


def _squared(module: GraphModule, value: Pair) -> Node:
    graph, (real, imaginary) = module.graph, value
    squares = [call(graph, aten.mul.Tensor, part, part) for part in (real, imaginary)]
    return call(graph, aten.add.Tensor, *squares)


def _absolute(module: GraphModule, node: Node) -> Pair:
    squared = _squared(module, _parts(module, node.args[0]))
    return call(module.graph, aten.sqrt.default, squared), None


def _angle(module: GraphModule, node: Node) -> Pair:
    real, imaginary = _parts(module, node.args[0])
    return call(module.graph, aten.atan2.default, imaginary, real), None


def _conjugated(module: GraphModule, node: Node) -> Pair:
    real, imaginary = _parts(module, node.args[0])
    return real, call(module.graph, aten.neg.default, imaginary)


def _from_real(module: GraphModule, node: Node) -> Pair:
    graph, source = module.graph, node.args[0]
    real, imaginary = (call(graph, aten.select.int, source, -1, index) for index in (0, 1))
    return real, imaginary


def _to_real(module: GraphModule, node: Node) -> Pair:
    parts = [*_parts(module, node.args[0])]
    return call(module.graph, aten.stack.default, parts, -1), None


def _polar(module: GraphModule, node: Node) -> Pair:
    graph, (length, angle) = module.graph, node.args[:2]
    cosine, sine = (call(graph, each.default, angle) for each in (aten.cos, aten.sin))
    return call(graph, aten.mul.Tensor, length, cosine), call(graph, aten.mul.Tensor, length, sine)


_KNOWN: dict[Any, Callable[[GraphModule, Node], Pair]] = {
    **dict.fromkeys(_LAYOUTS, _laid_out),
    **dict.fromkeys(_SHIFTS, _shifted),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys(_CONJUGATES, _conjugated),
    **dict.fromkeys(_SAME, lambda module, node: _parts(module, node.args[0])),
    **dict.fromkeys(_ZEROS, _zeros),
    **dict.fromkeys(_SCATTERS, _scattered),
    **dict.fromkeys(_PRODUCTS, _multiplied),
    aten.div.Tensor: _divided,
    aten.abs.default: _absolute,
    aten.angle.default: _angle,
    aten.real.default: lambda module, node: (_parts(module, node.args[0])[0], None),
    aten.imag.default: lambda module, node: (_parts(module, node.args[0])[1], None),  # type: ignore[dict-item,return-value]
    aten.view_as_complex.default: _from_real,
    aten.view_as_real.default: _to_real,
    aten.polar.default: _polar,
}
