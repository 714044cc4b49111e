"""Makes weights and activations of an ML Program 8 bits wide.

    conv(x, w)   ->   conv(dequantize(quantize(x)), constexpr_affine_dequantize(w))

One pair of `quantize` and `dequantize` a value, whoever reads it. Zero points are zero, so that
hardware multiplies without offsets: what is never negative becomes uint8, anything else int8.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit_export.quantization.coreml_graph import WEIGHTED, activations, end
from lolvit_export.quantization.ranges import Range
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.program import type_of

_mb = ct.converters.mil.Builder
_SIGNED_STEPS, _UNSIGNED_STEPS = 127, 255
# The least normal number of fp16, which scales are stored in: hardware takes smaller ones for zero.
_LEAST_SCALE = 2.0**-14

Scales = npt.NDArray[np.floating[Any]]


def quantize_weights(function: Any, chosen: Collection[str]) -> None:
    """Store the weights of the chosen layers in int8, symmetric, a scale a channel."""
    weights = {  # by name: several layers may share one
        operation.inputs["weight"].name: operation.inputs["weight"]
        for operation in function.operations
        if operation.name in chosen and operation.op_type in WEIGHTED
    }
    with function:
        for weight in weights.values():
            data, scale = _rounded(weight.val)
            new = _mb.constexpr_affine_dequantize(
                quantized_data=data,
                zero_point=np.int8(0),
                scale=scale,
                axis=0,
                before_op=weight.op,
                name=f"{weight.name}_quantized",
            )
            function.replace_uses_of_var_after_op(
                anchor_op=weight.op, old_var=weight, new_var=new, no_check_var_types=True
            )
            function.remove_ops([weight.op])


def _rounded(weight: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.int8], Scales]:
    """Return a weight (C, ...) in steps, and each channel's step as it will be stored."""
    exact = weight.astype(np.float64)
    largest = np.abs(exact).reshape(len(exact), -1).max(axis=1)
    stored = np.maximum(largest / _SIGNED_STEPS, _LEAST_SCALE).astype(weight.dtype)
    steps = exact / stored.astype(np.float64).reshape(-1, *[1] * (exact.ndim - 1))
    return np.clip(np.rint(steps), -_SIGNED_STEPS, _SIGNED_STEPS).astype(np.int8), stored


def marked(function: Any, chosen: Collection[str]) -> list[Any]:
    """Return the variables that become 8 bits wide when the chosen layers do: what they read and
    what they give, the program's result left out."""
    found: dict[str, Any] = {}
    for operation in function.operations:
        if operation.name in chosen:
            for variable in (*activations(operation), end(operation)):
                found[variable.name] = variable
    return [variable for variable in found.values() if not _is_result(function, variable)]


def _is_result(function: Any, variable: Any) -> bool:
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
        for variable in marked(function, chosen):
            _insert_pair(function, variable, shared[variable.name])


def shared_ranges(
    function: Any, chosen: Collection[str], ranges: Mapping[str, Range]
) -> dict[str, Range]:
    """Return ranges in which all that a chosen concat joins has the range of the result: joining is
    then copying."""
    result = dict(ranges)
    for operation in reversed(list(function.operations)):
        if operation.op_type == "concat" and operation.name in chosen:
            names = [v.name for v in (*activations(operation), end(operation))]
            limits = [result[name] for name in names]
            whole = min(low for low, _ in limits), max(high for _, high in limits)
            result.update(dict.fromkeys(names, whole))
    return result


def _insert_pair(function: Any, variable: Any, limits: Range) -> None:
    kind = np.float16 if type_of(variable) == "fp16" else np.float32
    signed = limits[0] < 0
    largest = max(-limits[0] / _SIGNED_STEPS, limits[1] / _SIGNED_STEPS)
    step = largest if signed else limits[1] / _UNSIGNED_STEPS
    scale = kind(max(step, _LEAST_SCALE))
    place = {"before_op": _after(function, variable)}
    steps = _mb.quantize(
        input=variable, scale=scale, output_dtype="int8" if signed else "uint8", **place
    )
    back = _mb.dequantize(input=steps, scale=scale, **place)
    function.replace_uses_of_var_after_op(
        anchor_op=back.op, old_var=variable, new_var=back, no_check_var_types=True
    )


def _after(function: Any, variable: Any) -> Any:
    """Return the operation in front of which a variable is there."""
    operations = list(function.operations)
    return operations[operations.index(variable.op) + 1 if variable.op is not None else 0]
