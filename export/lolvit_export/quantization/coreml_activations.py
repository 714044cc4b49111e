"""Quantize activations of an ML Program to 8 bits.

    conv(x, w)   ->   conv(dequantize(quantize(x)), w)

One pair of `quantize` and `dequantize` a value, whoever reads it. Zero points are zero, so that
hardware multiplies without offsets: what is never negative becomes uint8, anything else int8.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from lolvit_export.quantization.coreml_graph import activations, end
from lolvit_export.quantization.ranges import Range
from lolvit_export.quantization.rounding import SMALLEST_FP16_SCALE
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.program import type_of

_mb = ct.converters.mil.Builder
_INT8_MAX, _UINT8_MAX = 127, 255


def activations_to_quantize(function: Any, chosen: Collection[str]) -> list[Any]:
    """Return the variables that are quantized when the chosen layers are: what they read and what
    they give, but for the program's output."""
    found: dict[str, Any] = {}
    for operation in function.operations:
        if operation.name in chosen:
            for variable in (*activations(operation), end(operation)):
                found[variable.name] = variable
    return [variable for variable in found.values() if not _is_output(function, variable)]


def _is_output(function: Any, variable: Any) -> bool:
    """Whether a variable is the program's output, or is but cast to its type."""
    return variable in function.outputs or any(
        reader.op_type == "cast" and reader.outputs[0] in function.outputs
        for reader in variable.child_ops
    )


def quantize_activations(
    function: Any, chosen: Collection[str], ranges: Mapping[str, Range]
) -> None:
    """Put a pair of `quantize` and `dequantize` behind each value that the chosen layers read or
    give, in the range that `ranges` has for its name."""
    shared = shared_ranges(function, chosen, ranges)
    with function:
        for variable in activations_to_quantize(function, chosen):
            _insert_pair(function, variable, shared[variable.name])


def shared_ranges(
    function: Any, chosen: Collection[str], ranges: Mapping[str, Range]
) -> dict[str, Range]:
    """Return ranges in which all that a chosen concat joins has the range of the result: joining is
    then copying. A result that is the program's output has no range, as it stays in float."""
    result = dict(ranges)
    for operation in reversed(list(function.operations)):
        if operation.op_type == "concat" and operation.name in chosen:
            names = [v.name for v in (*activations(operation), end(operation))]
            if names[-1] not in result:
                continue
            limits = [result[name] for name in names]
            whole = min(low for low, _ in limits), max(high for _, high in limits)
            result.update(dict.fromkeys(names, whole))
    return result


def _insert_pair(function: Any, variable: Any, limits: Range) -> None:
    dtype = np.float16 if type_of(variable) == "fp16" else np.float32
    signed = limits[0] < 0
    exact = max(-limits[0], limits[1]) / _INT8_MAX if signed else limits[1] / _UINT8_MAX
    scale = dtype(max(exact, SMALLEST_FP16_SCALE))
    place = {"before_op": _after(function, variable)}
    integers = _mb.quantize(
        input=variable, scale=scale, output_dtype="int8" if signed else "uint8", **place
    )
    back = _mb.dequantize(input=integers, scale=scale, **place)
    function.replace_uses_of_var_after_op(
        anchor_op=back.op, old_var=variable, new_var=back, no_check_var_types=True
    )


def _after(function: Any, variable: Any) -> Any:
    """Return the operation in front of which a variable is there."""
    operations = list(function.operations)
    return operations[operations.index(variable.op) + 1 if variable.op is not None else 0]
