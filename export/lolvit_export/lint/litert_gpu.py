"""The GPU accelerator of LiteRT (ML Drift): what it takes, and what it takes but computes wrong.

Every row was compared with the WebGPU build in ai-edge-litert 2.3.0, run on SwiftShader, by models
of one operation, numbers included ("measured" below).
"""

from __future__ import annotations

from lolvit_export.lint.graph import Graph, Operation
from lolvit_export.lint.litert_gpu_wrong import WRONG
from lolvit_export.lint.rules import (
    Rule,
    computed_parameter,
    dynamic_sizes,
    element_type,
    on,
    outside,
    rank_above,
)

PARSERS = "google-ai-edge/LiteRT, ml_drift_delegate/tflite/model_builder.cc"
SUPPORT = "google-ai-edge/LiteRT, ml_drift_delegate/tflite/support"
MEASURED = "measured with ai-edge-litert 2.3.0 on SwiftShader"

OPERATORS = frozenset({
    "ABS", "ADD", "ARG_MAX", "ATAN2", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BITCAST", "BITWISE_XOR",
    "CAST", "CEIL", "CONCATENATION", "CONV_2D", "COS", "CUMSUM", "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "DYNAMIC_UPDATE_SLICE", "ELU", "EMBEDDING_LOOKUP",
    "EQUAL", "EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "FULLY_CONNECTED", "GATHER", "GELU",
    "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG",
    "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN",
    "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD", "PADV2", "POW",
    "PRELU", "QUANTIZE", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD",
    "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "REVERSE_V2", "RIGHT_SHIFT", "ROUND", "RSQRT", "SELECT", "SELECT_V2", "SIGN", "SIN", "SLICE",
    "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE",
    "STABLEHLO_BROADCAST_IN_DIM", "STABLEHLO_CBRT", "STABLEHLO_CLAMP", "STABLEHLO_COMPOSITE",
    "STABLEHLO_REMAINDER", "STABLEHLO_SHIFT_LEFT", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE",
    "TOPK_V2", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
})  # fmt: skip
COMPOSITES = frozenset({
    "odml.group_norm", "odml.layer_norm", "odml.rms_norm", "odml.scaled_dot_product_attention",
})  # fmt: skip

MOST_AXES = 4
FEWEST_AXES_OF_PAD = 3
WIDE_TYPES = ("int64", "uint64", "float64", "complex64", "complex128", "string")
FLOAT_ONLY = ("MEAN", "POW", "SQUARED_DIFFERENCE")
REDUCTIONS = (
    "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ALL", "REDUCE_ANY",
)  # fmt: skip
PARAMETERS: dict[str, tuple[int, ...]] = {
    "RESHAPE": (1,),
    "TRANSPOSE": (1,),
    "PAD": (1,),
    "PADV2": (1, 2),
    "MIRROR_PAD": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "TILE": (1,),
    **dict.fromkeys(REDUCTIONS, (1,)),
}


def _composite(operation: Operation, _: Graph) -> str | None:
    name = operation.attributes.get("name")
    return None if name in COMPOSITES else f"the composite '{name}' is not known to it"


def _constant_first(operation: Operation, graph: Graph) -> str | None:
    return "its first operand is a constant" if graph.is_static(operation.input(0)) else None


def _gather(operation: Operation, _: Graph) -> str | None:
    indices = operation.input(1)
    if indices is None or (indices.rank == 1 and indices.dtype == "int32"):
        return None
    return f"its indices are {indices.dtype} of rank {indices.rank}, not int32 of rank 1"


def _strided_slice(operation: Operation, _: Graph) -> str | None:
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    set_masks = [mask for mask in masks if operation.attributes.get(mask)]
    if set_masks:
        return f"it sets {' and '.join(set_masks)}"
    steps = operation.input(3)
    backwards = steps is not None and min(steps.values or (1,)) < 0
    return "it runs backwards" if backwards else None


def _pad(operation: Operation, _: Graph) -> str | None:
    if operation.kind == "MIRROR_PAD" and operation.attributes.get("mode"):
        return "it pads symmetrically, only reflection is known"
    data = operation.input(0)
    if data is None or data.rank is None or data.rank >= FEWEST_AXES_OF_PAD:
        return None
    return f"it pads a tensor of rank {data.rank}, at least {FEWEST_AXES_OF_PAD} here"


def _fused_activation(operation: Operation, _: Graph) -> str | None:
    fused = operation.attributes.get("fused")
    if fused is None or (operation.kind != "CONCATENATION" and fused != "SIGN_BIT"):
        return None
    return f"{fused} is fused into it"


def _softmax_beta(operation: Operation, _: Graph) -> str | None:
    beta = operation.attributes.get("beta", 1.0)
    return None if beta == 1.0 else f"its beta is {beta:g}"


def _integers(operation: Operation, _: Graph) -> str | None:
    data = operation.input(0)
    whole = data is not None and data.dtype.startswith(("int", "uint"))
    return f"it computes on {data.dtype}" if whole and data is not None else None


RULES: tuple[Rule, ...] = (
    Rule(
        "operator",
        outside(OPERATORS, "the GPU accelerator"),
        "rewrite it with operations that it has: no expand, exact pools (the static rewrite does "
        "this)",
        f"{SUPPORT}/support.cc; {MEASURED}; for BROADCAST_TO also google-ai-edge/LiteRT issue 9191",
    ),
    Rule(
        "composite",
        on(("STABLEHLO_COMPOSITE",), _composite),
        "export without this composite",
        f"{SUPPORT}/support.cc, IsCompositeNodeSupported",
    ),
    Rule(
        "rank",
        rank_above(MOST_AXES),
        "keep to 4 axes: give query, key and value a projection each (the static rewrite does "
        "this)",
        f"{PARSERS}, the refusal 'Tensor dimensions must be less than 5'; {MEASURED}",
    ),
    Rule(
        "element-type",
        element_type(WIDE_TYPES),
        "use int32 or float32",
        f"{SUPPORT}, CheckTensorDtype; {MEASURED}",
    ),
    Rule("integers", on(FLOAT_ONLY, _integers), "compute on floats", f"{SUPPORT}; {MEASURED}"),
    Rule(
        "computed-parameter",
        computed_parameter(PARAMETERS),
        "export at a fixed size, so that the converter folds it into a constant",
        f"{SUPPORT}; {MEASURED}",
    ),
    Rule(
        "constant-first",
        on(("BATCH_MATMUL",), _constant_first),
        "put the constant second: A·B = (Bᵀ·Aᵀ)ᵀ",
        f"{PARSERS}, BatchedMatMulOperationParser; {MEASURED}",
    ),
    Rule(
        "gather",
        on(("GATHER",), _gather),
        "slice instead of gathering one index, with int32 indices otherwise",
        f"{SUPPORT}/support_gather.cc; {MEASURED}",
    ),
    Rule(
        "strided-slice",
        on(("STRIDED_SLICE",), _strided_slice),
        "slice forwards and reshape apart from it",
        f"{PARSERS}, StridedSliceOperationParser; {MEASURED}",
    ),
    Rule(
        "pad",
        on(("PAD", "PADV2", "MIRROR_PAD"), _pad),
        "reshape to 4 axes before it, pad with zeros or by reflection",
        f"{PARSERS}, PadOperationParser; {MEASURED}",
    ),
    Rule(
        "fused-activation",
        on(None, _fused_activation),
        "keep the activation apart",
        f"{PARSERS}, HandleFusedActivation; {MEASURED}",
    ),
    Rule(
        "softmax-beta",
        on(("SOFTMAX",), _softmax_beta),
        "multiply by beta before it",
        f"{SUPPORT}/support_softmax.cc; {MEASURED}",
    ),
    Rule(
        "dynamic-shape",
        dynamic_sizes,
        "export at the one size that the app uses",
        "tensorflow/tensorflow issues 56152 and 56835: the GPU takes a static batch and size alone",
    ),
    *WRONG,
)
