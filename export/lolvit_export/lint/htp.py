"""Qualcomm's Hexagon tensor processor (HTP) through ONNX Runtime's QNN provider.

Every row was compared with onnxruntime-qnn 2.7.0, whose wheel for Linux holds the HTP compiler and
an emulator, by models of one operation or a few, numbers included ("measured" below). Pools and
paddings have a file of their own (htp_windows.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.htp_windows import WINDOWS
from lolvit_export.lint.rules import (
    Rule,
    Site,
    computed_parameter,
    dynamic_sizes,
    on,
    outside,
    rank_above,
)

BUILDERS = "onnxruntime/onnxruntime-qnn, core/providers/qnn/builder"
MEASURED = "measured with onnxruntime-qnn 2.7.0, HTP emulator"

_ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Atan", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf",
    "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish",
    "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid",
    "Sign", "Sin", "Softplus", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu",
    "Where", "Xor",
})  # fmt: skip
_MOVES = frozenset({
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "GridSample", "OneHot", "Pad", "Reshape", "Resize", "ScatterElements", "ScatterND", "Shape",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Upsample",
})  # fmt: skip
_SUMS = frozenset({
    "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "CumSum",
    "Einsum", "GRU", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization", "If",
    "InstanceNormalization", "LRN", "LSTM", "LayerNormalization", "LogSoftmax", "LpNormalization",
    "LpPool", "MatMul", "MaxPool", "MaxRoiPool", "NonMaxSuppression", "RMSNormalization",
    "RandomUniformLike", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceSum", "RoiAlign", "STFT", "SimplifiedLayerNormalization", "Softmax", "TopK",
})  # fmt: skip
_QUANTIZED = frozenset({
    "DequantizeLinear", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    "com.microsoft.DequantizeLinear", "com.microsoft.FusedMatMul", "com.microsoft.Gelu",
    "com.microsoft.Inverse", "com.microsoft.MatMulNBits", "com.microsoft.QuantizeLinear",
    "com.microsoft.QuickGelu",
})  # fmt: skip
OPERATORS = _ELEMENTWISE | _MOVES | _SUMS | _QUANTIZED

MOST_AXES = 5
FOUR_AXES = ("Max", "Min", "ReduceL2", "ReduceLogSumExp")
EQUATIONS = (
    "bhij,bhjk->bhik", "bhid,bhjd->bhij", "bij,bjk->bik", "bid,bjd->bij",
)  # fmt: skip
PARAMETERS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Expand": (1,),
    "Tile": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Pad": (1, 2),
    "Clip": (1, 2),
    "ReduceSum": (1,),
    "ReduceMean": (1,),
    "ReduceMax": (1,),
    "ReduceMin": (1,),
}
_FLOATS = ("float32", "float16", "bfloat16", "float64")


def _erf_outside_gelu(operation: Operation, graph: Graph) -> str | None:
    added = graph.consumers(operation.outputs[0])
    fused = [
        after for add in added if add.kind == "Add" for after in graph.consumers(add.outputs[0])
    ]
    if fused and all(after.kind == "Mul" for after in fused):
        return None  # the provider takes the whole of GELU
    return "Erf is taken as a part of GELU alone"


def _gemm_scale(operation: Operation, _: Graph) -> str | None:
    scales = {name: operation.attributes.get(name, 1.0) for name in ("alpha", "beta")}
    odd = [f"{name} is {value:g}" for name, value in scales.items() if value != 1.0]
    return f"its {' and its '.join(odd)}" if odd else None


def _norm_axis(operation: Operation, _: Graph) -> str | None:
    data, axis = operation.input(0), operation.attributes.get("axis", -1)
    if data is None or data.rank is None or axis in (-1, data.rank - 1):
        return None
    return f"it normalises from axis {axis} on, not the last axis alone"


def _dilated_pool(operation: Operation, _: Graph) -> str | None:
    dilations = operation.attributes.get("dilations", ())
    return f"its dilations are {list(dilations)}" if set(dilations) - {1} else None


def _gather_batch(operation: Operation, _: Graph) -> str | None:
    batch = operation.attributes.get("batch_dims", 0)
    return f"it has {batch} batch axes" if batch else None


def _single_operand(operation: Operation, _: Graph) -> str | None:
    return "it has one operand" if len(operation.given) == 1 else None


def _whole_numbers(operation: Operation, _: Graph) -> str | None:
    data = operation.input(0)
    whole = data is not None and data.dtype not in (*_FLOATS, "unknown")
    return f"it computes on {data.dtype}" if whole and data is not None else None


def _cast_to_int64(operation: Operation, _: Graph) -> str | None:
    target = operation.outputs[0].dtype
    return f"it casts to {target}" if target in ("int64", "uint64", "float64") else None


def _equation(operation: Operation, _: Graph) -> str | None:
    equation = str(operation.attributes.get("equation", "")).replace(" ", "")
    return None if equation in EQUATIONS else f"its equation is {equation}"


def _float_island(graph: Graph) -> Iterator[Site]:
    """Find operations on floats between quantized neighbours, in graphs of 8-bit convolutions."""
    sources = {op.outputs[0].name for op in graph.operations if _kind(op) == "DequantizeLinear"}
    computed = any(
        op.kind in ("Conv", "MatMul", "Gemm") and op.given and op.given[0].name in sources
        for op in graph.operations
    )
    for operation in graph.operations if computed else ():
        if _kind(operation) in ("DequantizeLinear", "QuantizeLinear", "Cast"):
            continue
        data = [t for t in operation.given if t.dtype in _FLOATS and not t.constant]
        if data and not any(tensor.name in sources for tensor in data):
            reason = "it computes on floats in a quantized graph"
            yield Site(operation.kind, operation.place, reason)


def _narrowed_factor(operation: Operation, graph: Graph) -> str | None:
    if all(_integers(tensor, graph) == "uint16" for tensor in operation.inputs):
        return "its second factor, of uint16, is rounded to 8 bits before it is multiplied"
    return None


def _integers(tensor: Tensor | None, graph: Graph) -> str | None:
    """Return the type of the integers that an activation stands for, or None for a float."""
    maker = graph.producer(tensor)
    if maker is None or _kind(maker) != "DequantizeLinear" or maker.given[0].constant:
        return None
    zero = maker.input(2)  # the provider's own domain leaves types of its results unknown
    return zero.dtype if zero is not None else maker.given[0].dtype


def _kind(operation: Operation) -> str:
    """Return an operation's kind; the 16-bit kinds of ONNX Runtime's own domain are the same."""
    return operation.kind.removeprefix("com.microsoft.")


def _half_precision(graph: Graph) -> Iterator[Site]:
    convolutions = [op for op in graph.operations if op.kind == "Conv"]
    first = next((op for op in convolutions if op.outputs[0].dtype in _FLOATS), None)
    if first is not None:
        reason = f"{len(convolutions)} convolutions on floats run in half precision"
        yield Site(first.kind, first.place, reason)


RULES: tuple[Rule, ...] = (
    Rule(
        "operator",
        outside(OPERATORS, "the QNN provider"),
        "export without this operation; for com.microsoft.Attention, without the exporter's fusion",
        f"{BUILDERS}/op_builder_factory.cc and the release notes of 2.4.0 to 2.7.0; {MEASURED}",
    ),
    Rule(
        "rank",
        rank_above(MOST_AXES),
        "reshape to fewer axes",
        f"QNN HTP operation definition supplement; {MEASURED}",
    ),
    Rule("rank-4", rank_above(4, FOUR_AXES), "reshape to 4 axes", MEASURED),
    Rule(
        "dynamic-shape",
        dynamic_sizes,
        "export at the one size that the app uses",
        f"onnxruntime.ai, QNN execution provider; {MEASURED}",
    ),
    Rule(
        "computed-parameter",
        computed_parameter(PARAMETERS),
        "export at a fixed size, so that it folds into a constant",
        f"{BUILDERS}/opbuilder; {MEASURED}",
    ),
    Rule(
        "erf",
        on(("Erf",), _erf_outside_gelu),
        "use GELU, in its exact or tanh form, as one operation",
        f"onnxruntime/onnxruntime-qnn, supported operator fusions; {MEASURED}",
    ),
    Rule(
        "gemm-scale",
        on(("Gemm",), _gemm_scale),
        "fold alpha and beta into the weights",
        f"{BUILDERS}/opbuilder/gemm_op_builder.cc; {MEASURED}",
    ),
    Rule(
        "norm-axis",
        on(("LayerNormalization", "RMSNormalization"), _norm_axis),
        "flatten the normalised axes into one",
        f"{BUILDERS}/opbuilder/layernormalization_op_builder.cc; {MEASURED}",
    ),
    Rule(
        "dilated-pool",
        on(("MaxPool", "AveragePool"), _dilated_pool),
        "use a pool without dilation",
        f"{BUILDERS}/opbuilder/pool_op_builder.cc",
    ),
    Rule("gather-batch", on(("GatherND",), _gather_batch), "use no batch axes", MEASURED),
    Rule("single-operand", on(("Max", "Min"), _single_operand), "remove it", MEASURED),
    Rule("integers", on(("Pow", "Div"), _whole_numbers), "compute on floats", MEASURED),
    Rule("cast-int64", on(("Cast",), _cast_to_int64), "cast to int32 or float", MEASURED),
    Rule(
        "einsum",
        on(("Einsum",), _equation),
        "write it with MatMul and Transpose",
        f"{BUILDERS}/opbuilder/einsum_op_builder.cc; {MEASURED}",
    ),
    *WINDOWS,
    Rule(
        "float-island",
        _float_island,
        "quantize it, or use operations that quantize well: ReLU for SiLU, BatchNorm for LayerNorm",
        "QNN HTP documentation, precision: a change of type at each side costs a conversion",
        "advice",
    ),
    Rule(
        "narrowed-factor",
        on(("MatMul",), _narrowed_factor),
        "convert the second factor to int16 with zero point 0, which is multiplied as it is",
        f"{MEASURED}: 39 dB from the CPU, as with uint8; with int16 65",
        "advice",
    ),
    Rule(
        "half-precision",
        _half_precision,
        "verify it in half precision; ship a quantized one for processors before Hexagon v73",
        "QNN HTP documentation, precision; onnxruntime.ai, enable_htp_fp16_precision",
        "advice",
    ),
)
