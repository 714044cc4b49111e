"""Write an einsum of two operands as transposes and one matmul.

    einsum("bhnd,bhmd->bhnm", q, k)     becomes     matmul(q, permute(k))

Left as it is, each converter chooses a form of its own, usually with the heads joined into the
batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


@dataclass(frozen=True)
class _Product:
    """The letters of an equation by their part in batched matrix multiplication."""

    first: str
    second: str
    result: str
    batch: str  # in both operands and in the result
    rows: str  # in the first operand and in the result
    inner: str  # in both operands, summed over
    columns: str  # in the second operand and in the result


class EinsumToMatmul(Rewrite):
    """Requires static shapes."""

    name = "einsum_to_matmul"
    ensures = "no einsum that is a batched matrix product"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.einsum.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        product = _product(node)
        if isinstance(product, MatchFailure):
            return product
        extents: dict[str, int] = {}
        for letters, operand in zip((product.first, product.second), _operands(node), strict=True):
            for letter, extent in zip(letters, shape_of(operand), strict=True):
                if extents.setdefault(letter, extent) != extent:
                    return MatchFailure(f"'{letter}' is broadcast")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        product = _product(node)
        assert isinstance(product, _Product)
        first, second = _operands(node)
        graph, batch = module.graph, product.batch
        left = _ordered(graph, first, product.first, batch + product.rows + product.inner)
        right = _ordered(graph, second, product.second, batch + product.inner + product.columns)
        result = call(graph, aten.matmul.default, left, right)
        given = batch + product.rows + product.columns
        node.replace_all_uses_with(_ordered(graph, result, given, product.result))


def _operands(node: Node) -> tuple[Node, ...]:
    operands = node.args[1]
    assert isinstance(operands, list | tuple)
    return tuple(operand for operand in operands if isinstance(operand, Node))


def _product(node: Node) -> _Product | MatchFailure:
    """Read the equation as a batched matrix product, or return why it is none."""
    equation = str(node.args[0]).replace(" ", "")
    inputs, arrow, result = equation.partition("->")
    operands = inputs.split(",")
    if len(operands) != 2:
        return MatchFailure(f"{len(operands)} operands, not 2")
    first, second = operands
    if not arrow:  # the letters that occur once, in alphabetical order
        result = "".join(sorted(c for c in {*inputs} - {","} if inputs.count(c) == 1))
    letters = [first, second, result]
    if "." in equation or any(len(set(part)) != len(part) for part in letters):
        return MatchFailure("an ellipsis or a repeated letter")
    shared = [c for c in first if c in second]
    parts = {
        "batch": "".join(c for c in result if c in shared),
        "rows": "".join(c for c in first if c not in shared),
        "inner": "".join(c for c in shared if c not in result),
        "columns": "".join(c for c in second if c not in shared),
    }
    sizes = [len(parts[part]) for part in ("rows", "inner", "columns")]
    if sizes != [1, 1, 1] or parts["rows"] not in result or parts["columns"] not in result:
        return MatchFailure("no batched matrix product")
    return _Product(first, second, result, **parts)


def _ordered(graph: Graph, node: Node, letters: str, wanted: str) -> Node:
    if letters == wanted:
        return node
    return call(graph, aten.permute.default, node, [letters.index(letter) for letter in wanted])
