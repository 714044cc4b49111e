"""What LiteRT's GPU accelerator takes without complaint and computes wrong.

Found by running models of one operation on it and comparing with the reference kernels.
"""

from __future__ import annotations

from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.rules import Rule, on

MEASURED = "measured with ai-edge-litert 2.3.0 on SwiftShader"
ISSUES = "google-ai-edge/LiteRT issue"
VECTOR = 4  # channels that the GPU handles as one
SUMS = ("SUM",)


def _adjoint(operation: Operation, graph: Graph) -> str | None:
    flags = [name for name in ("adj_x", "adj_y") if operation.attributes.get(name)]
    if not flags:
        return None
    second = operation.input(1)
    if second is not None and second.rank == 2 and graph.is_static(second):
        return f"{' and '.join(flags)} is ignored beside a constant of rank 2"
    return f"{' and '.join(flags)} is ignored by some releases and GPUs"


def _broadcast_batch(operation: Operation, graph: Graph) -> str | None:
    left, right = operation.input(0), operation.input(1)
    if left is None or right is None or left.shape is None or right.shape is None:
        return None
    if right.rank == 2 and graph.is_static(right):
        return None  # becomes a convolution
    first, second = left.shape[:-2], right.shape[:-2]
    if first == second:
        return None
    return f"its batches {_text(first)} and {_text(second)} differ and are not broadcast"


def _text(sizes: tuple[int | None, ...]) -> str:
    return str(list(sizes)).replace("None", "?")


def _padding_of_batch(operation: Operation, _: Graph) -> str | None:
    data, paddings = operation.input(0), operation.input(1)
    if data is None or data.shape is None or paddings is None or paddings.values is None:
        return None
    batch = data.shape[0]
    if data.rank == 3 and batch != 1:
        return f"it pads a tensor of rank 3 whose first axis is {batch}"
    return "it pads a first axis of 1" if batch == 1 and any(paddings.values[:2]) else None


def _constant_base(operation: Operation, graph: Graph) -> str | None:
    return "its base is a constant" if graph.is_static(operation.input(0)) else None


def _narrow_groups(operation: Operation, _: Graph) -> str | None:
    data, weights = operation.input(0), operation.input(1)
    if data is None or weights is None or data.rank != 4 or weights.rank != 4:
        return None
    channels, filters, each = _last(data), _first(weights), _last(weights)
    if not channels or not filters or not each or channels == each:
        return None
    if each == 1 and channels == filters:
        return None  # runs as a depthwise convolution
    made = filters * each // channels
    if each % VECTOR == 0 and made % VECTOR == 0:
        return None
    return f"its groups of {each} to {made} channels are no multiples of {VECTOR}"


def _first(tensor: Tensor) -> int | None:
    return tensor.shape[0] if tensor.shape else None


def _last(tensor: Tensor) -> int | None:
    return tensor.shape[-1] if tensor.shape else None


def _sum_in_half(operation: Operation, _: Graph) -> str | None:
    return "it adds up in half precision: a total above 65504 becomes NaN"


def _batch(operation: Operation, _: Graph) -> str | None:
    sizes = {t.shape[0] for t in operation.outputs if t.shape and len(t.shape) > 2}
    folded = sorted(size for size in sizes if size is not None and size != 1)
    return f"its first axis, which the GPU takes for a batch, is {folded[0]}" if folded else None


WRONG: tuple[Rule, ...] = (
    Rule(
        "adjoint",
        on(("BATCH_MATMUL",), _adjoint),
        "transpose the operand before it (the static rewrite does this)",
        f"{ISSUES} 8913; {MEASURED}: wrong beside a constant of rank 2, right beside others",
    ),
    Rule(
        "broadcast-batch",
        on(("BATCH_MATMUL",), _broadcast_batch),
        "repeat the smaller operand, or multiply by a constant of rank 2",
        f"{MEASURED}: wrong in 6 of 6 shapes",
    ),
    Rule(
        "batch-padding",
        on(("PAD", "PADV2"), _padding_of_batch),
        "reshape to 1xHxWxC before it and pad H, W or C",
        f"{MEASURED}: wrong in 36 of 36 such paddings; {ISSUES} 9272",
    ),
    Rule(
        "constant-base",
        on(("POW",), _constant_base),
        "write it as exp(x · ln base)",
        f"{MEASURED}: base and exponent are exchanged",
    ),
    Rule(
        "narrow-groups",
        on(("CONV_2D",), _narrow_groups),
        f"make channels per group multiples of {VECTOR}, or the convolution depthwise",
        f"{MEASURED}: wrong in 7 of 8 such shapes, a crash in the other",
    ),
    Rule(
        "half-precision-sum",
        on(SUMS, _sum_in_half),
        "keep totals small, take a mean instead, or ask for float32 in the accelerator's options",
        f"{ISSUES} 9249",
        "advice",
    ),
    Rule(
        "batch",
        on(("BATCH_MATMUL",), _batch),
        "none is needed where the accelerator is ML Drift; else multiply head by head",
        "tensorflow/tensorflow issue 92798: the OpenGL backend of the older GPU delegate refuses "
        f"it; {MEASURED}: ML Drift computes it right",
        "advice",
    ),
)
