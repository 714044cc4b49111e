"""ONNX Runtime's CPU provider: all of ONNX runs there, so the rules are about time, and about what
older x86 processors compute differently.

Half precision is right on it and no faster: where it has no kernel, it computes in float32 between
casts. That is advice and no finding, for the file may be meant for another device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit_export.lint.graph import Graph, Operation
from lolvit_export.lint.rules import Rule, Site, dynamic_sizes, on
from lolvit_export.quantization.onnx_saturation import LARGEST_SUM, largest_sums

SOURCE = "microsoft/onnxruntime, onnxruntime/core"
OWN_DOMAINS = ("com.microsoft.", "ai.onnx.ml.", "com.microsoft.nchwc.")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
SHAPE_ARITHMETIC = ("Shape", "Size", "ConstantOfShape", "NonZero", "Range")
CHANNEL_ALIGNMENT = 4
LAYOUT_SENSITIVE = ("AveragePool", "Conv", "ConvTranspose", "MaxPool")
LAYOUT_SWAPS = ((0, 2, 3, 1), (0, 3, 1, 2))
# Operations of products of integers, once the session has fused those between DequantizeLinear and
# QuantizeLinear: the place of the weight.
INTEGER_PRODUCTS = {
    "Conv": 1, "Gemm": 1, "MatMul": 1, "ConvInteger": 1, "MatMulInteger": 1,
    "QLinearConv": 3, "QLinearMatMul": 3, "com.microsoft.DynamicQuantizeMatMul": 1,
    "com.microsoft.MatMulIntegerToFloat": 1, "com.microsoft.QGemm": 3,
}  # fmt: skip


def _foreign(operation: Operation, _: Graph) -> str | None:
    if "." not in operation.kind or operation.kind.startswith(OWN_DOMAINS):
        return None
    return f"{operation.kind} comes with no ONNX Runtime"


def _control_flow(operation: Operation, _: Graph) -> str | None:
    return "its body is a session of its own, which no fusion crosses"


def _softmax_axis(operation: Operation, _: Graph) -> str | None:
    data, axis = operation.input(0), operation.attributes.get("axis", -1)
    if data is None or data.rank is None or axis in (-1, data.rank - 1):
        return None
    return f"over axis {axis} of {data.rank} it transposes its input and its result"


def _batch_norm(operation: Operation, graph: Graph) -> str | None:
    source = graph.producer(operation.input(0))
    alone = source is not None and len(graph.consumers(source.outputs[0])) == 1
    if source is not None and alone and source.kind in ("Conv", "ConvTranspose", "Gemm"):
        return None  # folded when the session opens
    return "no convolution before it takes it up, so it costs a pass over the map"


def _computed_shape(operation: Operation, graph: Graph) -> str | None:
    known = all(tensor.elements is not None for tensor in operation.given)
    if operation.kind in ("Shape", "Size") and known:
        return None  # folded when the session opens
    if operation.kind not in ("Shape", "Size") and all(map(graph.is_static, operation.given)):
        return None
    return "shapes are computed again in each run"


def _layout_swap(operation: Operation, graph: Graph) -> str | None:
    if tuple(operation.attributes.get("perm", ())) not in LAYOUT_SWAPS:
        return None
    source = graph.producer(operation.input(0))
    near = [source, *graph.consumers(operation.outputs[0])]
    if any(other is not None and other.kind in LAYOUT_SENSITIVE for other in near):
        return "it changes the layout next to a convolution or pool"
    return None


def _odd_channels(operation: Operation, graph: Graph) -> str | None:
    weights = operation.input(1)
    if weights is None or weights.rank != 4 or weights.shape is None or not weights.constant:
        return None
    filters, each = weights.shape[0], weights.shape[1]
    grouped = operation.attributes.get("group", 1) > 1
    count = filters if grouped else each
    if count is None or count % CHANNEL_ALIGNMENT == 0 or (not grouped and count < 16):
        return None
    return f"its {count} channels are no multiple of {CHANNEL_ALIGNMENT}"


def _clipped_sums(operation: Operation, graph: Graph) -> str | None:
    weight = operation.input(INTEGER_PRODUCTS[operation.kind])
    source = graph.producer(weight)
    if source is not None and source.kind == "DequantizeLinear":
        if not _is_of_bytes(operation, graph):
            return None  # it computes on floats
        weight = source.input(0)
    if weight is None or weight.integers is None:
        return None
    if weight.integers.ndim < 2 or not weight.integers.size:
        return None
    rows = _by_outputs(operation, weight.integers)
    largest = largest_sums(rows, operation.attributes.get("group", 1)).max()
    if largest <= LARGEST_SUM:
        return None
    return (
        f"x86 processors without VNNI clip sums of two products above 2^15; this weight's reach "
        f"{255 * int(largest) / 2**15:.1f} times that"
    )


def _is_of_bytes(operation: Operation, graph: Graph) -> bool:
    activation = graph.producer(operation.input(0))
    if activation is None or activation.kind != "DequantizeLinear":
        return False
    rounded = activation.input(0)
    return rounded is not None and rounded.dtype in ("uint8", "int8")


def _by_outputs(
    operation: Operation, integers: npt.NDArray[np.int8]
) -> npt.NDArray[np.floating[Any]]:
    """Return a weight with its outputs first; those of each matrix of a batch for themselves."""
    weight = integers.astype(np.float64)
    transposed = operation.kind.endswith("Gemm") and operation.attributes.get("transB", 0)
    if transposed or operation.kind.endswith(("Conv", "ConvInteger")):
        return weight
    by_outputs: npt.NDArray[np.floating[Any]] = weight.swapaxes(-1, -2)
    return by_outputs.reshape(-1, by_outputs.shape[-1])


def _half_precision(graph: Graph) -> Iterator[Site]:
    halves = [op for op in graph.operations if op.kind in ("Conv", "MatMul", "Gemm")]
    halves = [op for op in halves if any(t.dtype == "float16" for t in op.tensors)]
    if halves:
        reason = f"{len(halves)} operations in half precision run in float32 between casts"
        yield Site(halves[0].kind, halves[0].place, reason)


RULES: tuple[Rule, ...] = (
    Rule(
        "foreign-operator",
        on(None, _foreign),
        "export without it, or ship the library that has it",
        "onnxruntime.ai, custom operators",
    ),
    Rule(
        "control-flow",
        on(CONTROL_FLOW, _control_flow),
        "export for inference at a fixed size, so that it unrolls",
        f"{SOURCE}/providers/cpu/controlflow",
    ),
    Rule(
        "softmax-axis",
        on(("Softmax", "LogSoftmax"), _softmax_axis),
        "arrange the attention so that the keys are on the last axis",
        f"{SOURCE}/providers/cpu/math/softmax.cc",
    ),
    Rule(
        "batch-norm",
        on(("BatchNormalization",), _batch_norm),
        "fold it into the convolution before it at export (the static rewrite does this)",
        f"{SOURCE}/optimizer/conv_bn_fusion.cc",
    ),
    Rule(
        "computed-shape",
        on(SHAPE_ARITHMETIC, _computed_shape),
        "export at a fixed size and simplify",
        f"{SOURCE}/optimizer/constant_folding.cc",
    ),
    Rule(
        "layout-swap",
        on(("Transpose",), _layout_swap),
        "export with channels first throughout",
        f"{SOURCE}/optimizer/transpose_optimization: removes those that cancel, not all",
        "advice",
    ),
    Rule(
        "channel-alignment",
        on(("Conv",), _odd_channels),
        "use widths that are multiples of 16",
        f"{SOURCE}/optimizer/nchwc_transformer.cc: such a convolution stays out of the blocked "
        "layout",
        "advice",
    ),
    Rule(
        "dynamic-shape",
        dynamic_sizes,
        "export at the one size that the app uses",
        "onnxruntime.ai, memory: buffers are planned ahead for known shapes only",
        "advice",
    ),
    Rule(
        "clipped-sums",
        on(tuple(INTEGER_PRODUCTS), _clipped_sums),
        "quantize with weights that cannot (lolvit export does; elsewhere reduce_range or uint8 "
        "weights), or set session.x64quantprecision to 1",
        "Intel 64 and IA-32 Architectures Software Developer's Manual, PMADDUBSW; own measurement",
        "advice",
    ),
    Rule(
        "half-precision",
        _half_precision,
        "use the fp32 file on CPUs",
        "microsoft/onnxruntime, docs/OperatorKernels.md: the types of each CPU kernel",
        "advice",
    ),
)
