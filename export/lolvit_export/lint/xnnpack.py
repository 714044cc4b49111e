"""XNNPACK, the CPU delegate of LiteRT and TensorFlow Lite: what it takes over and what it leaves.

What it leaves runs in LiteRT's own kernels, and each run of operations that it takes starts and
ends with a copy. Every row was compared with what the delegate in ai-edge-litert 2.3.0 takes of a
model of one operation (tests/export/test_lint_xnnpack_measured.py).
"""

from __future__ import annotations

from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.rules import (
    Rule,
    computed_parameter,
    dynamic_sizes,
    on,
    outside,
    rank_above,
)

DELEGATE = "google-ai-edge/LiteRT, tflite/delegates/xnnpack/xnnpack_delegate.cc"
README = "google-ai-edge/LiteRT, tflite/delegates/xnnpack/README.md"

# Taken in float and, with 8-bit tensors, quantized.
_QUANTIZED = frozenset({
    "ADD", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "ELU", "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL",
    "PAD", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR", "SLICE",
    "SPACE_TO_DEPTH", "SPLIT", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
    "TRANSPOSE_CONV",
})  # fmt: skip
_FLOAT_ONLY = frozenset({
    "ABS", "AVERAGE_POOL_2D", "CEIL", "COS", "DIV", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG",
    "MAXIMUM", "MINIMUM", "NEG", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIN",
    "SOFTMAX", "SQRT", "SQUARE", "SQUARED_DIFFERENCE",
})  # fmt: skip
_STATEFUL = frozenset({"ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE"})
OPERATORS = _QUANTIZED | _FLOAT_ONLY | _STATEFUL

MOST_AXES = 6
MOST_CONCATENATED = 5
MOST_SPLIT = 4
FLOATS = frozenset({"float32", "float16"})
BYTES = frozenset({"int8", "uint8"})
PARAMETERS: dict[str, tuple[int, ...]] = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (0, 1, 3),
    "RESHAPE": (1,),
    "TRANSPOSE": (1,),
    "PAD": (1,),
    "MEAN": (1,),
    "SUM": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESIZE_BILINEAR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
}
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
WEIGHTED = (*CONVOLUTIONS, "FULLY_CONNECTED")
POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def _data(operation: Operation) -> tuple[Tensor, ...]:
    """Return what an operation computes on, without its shapes, axes and weights."""
    settings = set(PARAMETERS.get(operation.kind, ()))
    inputs = [t for i, t in enumerate(operation.inputs) if t is not None and i not in settings]
    return (*inputs, *operation.outputs)


def _element_type(operation: Operation, graph: Graph) -> str | None:
    if operation.kind in _STATEFUL or operation.kind not in OPERATORS:
        return None
    if operation.kind == "DEQUANTIZE" and graph.is_static(operation.outputs[0]):
        return None  # weights in half precision, widened once before the first run
    allowed = FLOATS | BYTES if operation.kind in _QUANTIZED else FLOATS
    refused = sorted({t.dtype for t in _data(operation)} - allowed)
    return f"it computes on {' and '.join(refused)}" if refused else None


def _weights_of_another_type(operation: Operation, _: Graph) -> str | None:
    data, weights = operation.input(0), operation.input(1)
    if data is None or weights is None or weights.dtype == data.dtype:
        return None
    if data.dtype in BYTES or weights.dtype in ("int8", "int4", "int2"):
        return None
    return f"it mixes {data.dtype} data with {weights.dtype} weights"


def _without_bias(operation: Operation, _: Graph) -> str | None:
    return "it has no bias" if operation.input(2) is None else None


def _fused_activation(operation: Operation, _: Graph) -> str | None:
    fused = operation.attributes.get("fused")
    if fused in (None, "RELU", "RELU6", "RELU_N1_TO_1"):
        return None
    return f"{fused} is fused into it"


def _gaps_between_windows(operation: Operation, _: Graph) -> str | None:
    kernel = (operation.attributes.get("filter_h", 0), operation.attributes.get("filter_w", 0))
    stride = (operation.attributes.get("stride_h", 0), operation.attributes.get("stride_w", 0))
    if all(s <= k for k, s in zip(kernel, stride, strict=True)):
        return None
    return f"its stride {stride} exceeds its window {kernel}"


def _too_many_joined(operation: Operation, _: Graph) -> str | None:
    count = len(operation.inputs)
    return f"it joins {count} tensors" if count > MOST_CONCATENATED else None


def _too_many_parts(operation: Operation, _: Graph) -> str | None:
    count = len(operation.outputs)
    return f"it makes {count} parts" if count > MOST_SPLIT else None


def _strided_slice(operation: Operation, _: Graph) -> str | None:
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    set_masks = [mask for mask in masks if operation.attributes.get(mask)]
    if set_masks:
        return f"it sets {' and '.join(set_masks)}"
    steps = operation.input(3)
    if steps is not None and steps.values is not None and set(steps.values) != {1}:
        return f"its steps are {', '.join(f'{step:g}' for step in steps.values)}"
    return None


def _softmax_beta(operation: Operation, _: Graph) -> str | None:
    beta = operation.attributes.get("beta", 1.0)
    return None if beta == 1.0 else f"its beta is {beta:g}"


RULES: tuple[Rule, ...] = (
    Rule(
        "operator",
        outside(OPERATORS, "XNNPACK"),
        "rewrite it with operations that XNNPACK has; a ragged pool as an exact one (the static "
        "rewrite does this)",
        f"{DELEGATE}, VisitNode",
    ),
    Rule(
        "element-type",
        on(None, _element_type),
        "compute on floats, or quantize this operation together with its neighbours",
        f"{DELEGATE}, CheckTensorFloatType and its like; {README}, quantized operators",
    ),
    Rule(
        "mixed-types",
        on(WEIGHTED, _weights_of_another_type),
        "store half-precision weights behind a DEQUANTIZE",
        f"{DELEGATE}, unsupported mixed types",
    ),
    Rule(
        "rank",
        rank_above(MOST_AXES),
        "reshape to fewer axes",
        f"{DELEGATE}, XNN_MAX_TENSOR_DIMS",
    ),
    Rule(
        "computed-parameter",
        computed_parameter(PARAMETERS),
        "export at a fixed size, so that the converter folds it into a constant",
        f"{DELEGATE}, CheckTensorStaticAllocation; {README}",
    ),
    Rule("bias", on(CONVOLUTIONS, _without_bias), "give it a bias of zeros", README),
    Rule(
        "fused-activation",
        on(None, _fused_activation),
        "keep the activation apart",
        f"{DELEGATE}, ConvertActivationToOutputRange",
    ),
    Rule(
        "pool-gaps",
        on(POOLS, _gaps_between_windows),
        "slice or crop what no window reads first",
        f"{DELEGATE}, CheckPoolingParams",
    ),
    Rule(
        "concatenation",
        on(("CONCATENATION",), _too_many_joined),
        f"join at most {MOST_CONCATENATED} tensors at once",
        f"{DELEGATE}, VisitConcatenationNode",
    ),
    Rule(
        "split",
        on(("SPLIT",), _too_many_parts),
        f"split into at most {MOST_SPLIT} parts, or give each part a projection of its own",
        f"{DELEGATE}, VisitSplitNode",
    ),
    Rule(
        "strided-slice",
        on(("STRIDED_SLICE",), _strided_slice),
        "slice without a step (the static rewrite does this)",
        f"{DELEGATE}, VisitStridedSliceNode",
    ),
    Rule(
        "softmax-beta",
        on(("SOFTMAX",), _softmax_beta),
        "multiply by beta before it",
        f"{DELEGATE}, VisitSoftmaxNode",
    ),
    Rule(
        "dynamic-shape",
        dynamic_sizes,
        "export at the one size that the app uses",
        "measured: the delegate takes it, and plans its memory anew after each change of size",
        "advice",
    ),
)
