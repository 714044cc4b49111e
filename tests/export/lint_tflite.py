"""TFLite files of one operation, or a few, for tests of lint: written as flatbuffers and not
converted, so that they hold exactly what a rule is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}
RELU, RELU6, TANH, SIGN_BIT = 1, 3, 4, 5  # enum ActivationFunctionType
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
Options = tuple[str, dict[str, Any]] | None


@dataclass(eq=False)
class Value:
    """A tensor; constant where it has data. `signature` -1: a size is chosen at run time."""

    shape: Sequence[int]
    dtype: str = "float32"
    data: npt.NDArray[Any] | None = None
    signature: Sequence[int] | None = None


@dataclass(frozen=True)
class Op:
    """One operation: kind, inputs (None: not given), outputs, options, version."""

    kind: str
    inputs: Sequence[Value | None]
    outputs: Sequence[Value]
    options: Options = None
    version: int = 1
    custom: str = ""


@dataclass
class _Builder:
    model: Any = field(default_factory=schema.ModelT)
    graph: Any = field(default_factory=schema.SubGraphT)
    numbers: dict[int, int] = field(default_factory=dict)

    def number(self, value: Value | None) -> int:
        """Return a tensor's number, adding it on first sight."""
        if value is None:
            return -1
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.graph.tensors)
            self.graph.tensors.append(self._tensor(value))
        return self.numbers[id(value)]

    def _tensor(self, value: Value) -> Any:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(value.shape), TYPES[value.dtype]
        tensor.name = f"t{len(self.graph.tensors)}".encode()
        tensor.hasRank = True
        if value.signature is not None:
            tensor.shapeSignature = list(value.signature)
        if value.dtype == "int8":
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]
        if value.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value.data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        return tensor

    def add(self, op: Op) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, op.kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = op.version, op.custom.encode() or None
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = [self.number(value) for value in op.inputs]
        operator.outputs = [self.number(value) for value in op.outputs]
        if op.options is not None:
            name, fields = op.options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            for key, value in fields.items():
                assert hasattr(operator.builtinOptions, key), key
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)


def tflite(*ops: Op) -> bytes:
    """Return a TFLite file that runs `ops` in their order."""
    builder = _Builder()
    builder.model.version, builder.model.buffers = 3, [schema.BufferT()]
    builder.model.operatorCodes, builder.model.subgraphs = [], [builder.graph]
    builder.graph.tensors, builder.graph.operators = [], []
    for op in ops:
        builder.add(op)
    made = {id(value) for op in ops for value in op.outputs}
    read = [value for op in ops for value in op.inputs if value is not None]
    given = {id(v): v for v in read if v.data is None and id(v) not in made}
    builder.graph.inputs = [builder.numbers[key] for key in given]
    results = [v for op in ops for v in op.outputs if id(v) not in {id(r) for r in read}]
    builder.graph.outputs = [builder.number(value) for value in results]
    writer = flatbuffers.Builder(1024)
    writer.Finish(builder.model.Pack(writer), b"TFL3")
    return bytes(writer.Output())


MAP = (1, 8, 8, 16)


def const(data: Any, dtype: str = "int32") -> Value:
    """Return a constant."""
    array = np.asarray(data, dtype)
    return Value(array.shape, dtype, array)


def weight(*shape: int, dtype: str = "float32") -> Value:
    """Return random weights."""
    values = np.random.default_rng(0).standard_normal(shape) * 0.1
    return const(values, dtype)


def unary(kind: str, shape: Sequence[int] = MAP, dtype: str = "float32", **rest: Any) -> bytes:
    """Return a file with an operation of one tensor."""
    return tflite(Op(kind, [Value(shape, dtype)], [Value(shape, dtype)], **rest))


def binary(
    kind: str, left: Value, right: Value, shape: Sequence[int] = MAP, options: Options = None
) -> bytes:
    """Return a file with an operation of two tensors; its result has the left one's type."""
    return tflite(Op(kind, [left, right], [Value(shape, left.dtype)], options))


def conv(
    filters: Value | None = None,
    channels: int = 16,
    made: int = 8,
    groups: int = 1,
    fused: int = 0,
) -> bytes:
    """Return a file with a 3x3 convolution of an 8x8 map."""
    filters = filters or weight(made, 3, 3, channels // groups)
    options = {"padding": SAME, "strideW": 1, "strideH": 1, "fusedActivationFunction": fused}
    op = Op(
        "CONV_2D",
        [Value((1, 8, 8, channels)), filters, weight(made)],
        [Value((1, 8, 8, made))],
        ("Conv2DOptions", options),
    )
    return tflite(op)


def depthwise(*bias: Value) -> bytes:
    """Return a file with a 3x3 depthwise convolution."""
    options = {"padding": SAME, "strideW": 1, "strideH": 1, "depthMultiplier": 1}
    op = Op(
        "DEPTHWISE_CONV_2D",
        [Value(MAP), weight(1, 3, 3, 16), *bias],
        [Value(MAP)],
        ("DepthwiseConv2DOptions", options),
    )
    return tflite(op)


def pool(kind: str, window: int, stride: int, dtype: str = "float32", fused: int = 0) -> bytes:
    """Return a file with an unpadded pool of an 8x8 map."""
    side = (8 - window) // stride + 1
    options = {
        "padding": VALID, "strideW": stride, "strideH": stride, "filterWidth": window,
        "filterHeight": window, "fusedActivationFunction": fused,
    }  # fmt: skip
    op = Op(
        kind, [Value(MAP, dtype)], [Value((1, side, side, 16), dtype)], ("Pool2DOptions", options)
    )
    return tflite(op)


def matmul(left: Value, right: Value, result: Sequence[int], **flags: bool) -> bytes:
    """Return a file with a batched matrix product."""
    return tflite(
        Op("BATCH_MATMUL", [left, right], [Value(result)], ("BatchMatMulOptions", dict(flags)))
    )


def reshape(before: Sequence[int], after: Sequence[int], computed: bool = False) -> bytes:
    """Return a file with a reshape to a constant, or to a computed, shape."""
    target = Value((len(after),), "int32") if computed else const(after)
    options = None if computed else ("ReshapeOptions", {"newShape": list(after)})
    return tflite(Op("RESHAPE", [Value(before), target], [Value(after)], options))


def transpose(shape: Sequence[int], order: Sequence[int]) -> bytes:
    """Return a file with a transpose."""
    result = [shape[axis] for axis in order]
    op = Op("TRANSPOSE", [Value(shape), const(order)], [Value(result)], ("TransposeOptions", {}))
    return tflite(op)


def concatenation(count: int, shape: Sequence[int] = MAP, fused: int = 0) -> bytes:
    """Return a file that joins tensors on their last axis."""
    result = (*shape[:-1], count * shape[-1])
    options = {"axis": len(shape) - 1, "fusedActivationFunction": fused}
    op = Op(
        "CONCATENATION",
        [Value(shape) for _ in range(count)],
        [Value(result)],
        ("ConcatenationOptions", options),
    )
    return tflite(op)


def split(parts: int) -> bytes:
    """Return a file that splits 48 channels."""
    outputs = [Value((1, 8, 8, 48 // parts)) for _ in range(parts)]
    op = Op(
        "SPLIT", [const(3), Value((1, 8, 8, 48))], outputs, ("SplitOptions", {"numSplits": parts})
    )
    return tflite(op)


def strided_slice(
    begin: Sequence[int], end: Sequence[int], steps: Sequence[int], result: Sequence[int],
    **masks: int,
) -> bytes:  # fmt: skip
    """Return a file with a strided slice of a map."""
    op = Op(
        "STRIDED_SLICE",
        [Value(MAP), const(begin), const(end), const(steps)],
        [Value(result)],
        ("StridedSliceOptions", dict(masks)),
    )
    return tflite(op)


def reduce(
    kind: str, shape: Sequence[int] = MAP, axis: int = 1, dtype: str = "float32",
    computed: bool = False,
) -> bytes:  # fmt: skip
    """Return a file that reduces one axis and keeps it."""
    result = [1 if i == axis else size for i, size in enumerate(shape)]
    axes = Value((1,), "int32") if computed else const([axis])
    op = Op(
        kind, [Value(shape, dtype), axes], [Value(result, dtype)],
        ("ReducerOptions", {"keepDims": True}),
    )  # fmt: skip
    return tflite(op)


def pad(
    shape: Sequence[int], paddings: Sequence[tuple[int, int]], kind: str = "PAD",
    options: Options = ("PadOptions", {}),
) -> bytes:  # fmt: skip
    """Return a file that pads."""
    result = [size + sum(extra) for size, extra in zip(shape, paddings, strict=True)]
    inputs = [Value(shape), const(paddings)]
    inputs += [const(np.zeros(1), "float32")] if kind == "PADV2" else []
    return tflite(Op(kind, inputs, [Value(result)], options))


def gather(indices: Any, dtype: str = "int32") -> bytes:
    """Return a file that gathers channels of a map."""
    index = const(indices, dtype)
    op = Op(
        "GATHER", [Value(MAP), index], [Value((*MAP[:3], *index.shape))],
        ("GatherOptions", {"axis": 3}),
    )  # fmt: skip
    return tflite(op)


def half_precision_conv() -> bytes:
    """Return a file with a convolution whose weights are stored in half precision."""
    filters, widened = weight(8, 3, 3, 16, dtype="float16"), Value((8, 3, 3, 16))
    options = {"padding": SAME, "strideW": 1, "strideH": 1}
    return tflite(
        Op("DEQUANTIZE", [filters], [widened]),
        Op(
            "CONV_2D", [Value(MAP), widened, weight(8)], [Value((1, 8, 8, 8))],
            ("Conv2DOptions", options),
        ),
    )  # fmt: skip
