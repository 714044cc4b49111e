"""Store weights of an ML Program in 8 or 4 bits, symmetric, one scale an output channel.

    int8   conv(x, w, b)  ->  conv(x, constexpr_affine_dequantize(qweight, scales), b)
    int4   conv(x, w, b)  ->  conv(x, constexpr_blockwise_shift_scale(qweight, scales), b + change)

8 bits are rounded to the nearest, 4 bits by GPTQ. One scale an output channel: Apple's
documentation has blocks within channels for GPUs only. Convolutions in groups are not stored in 4
bits: they have few weights, and few to make good for errors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from lolvit_export.quantization.coreml_graph import WEIGHTED
from lolvit_export.quantization.gptq import GptqLayer, QuantizedWeight, im2col
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.rounding import (
    SMALLEST_FP16_SCALE,
    Floats,
    channel_scales,
    round_per_channel,
)
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.padding import resolve_padding

FOUR_BITS = 4
_mb, _types = ct.converters.mil.Builder, ct.converters.mil.mil.types


def store_int8(function: Any, chosen: Collection[str]) -> None:
    """Store the weights of the chosen layers in int8."""
    weights = {  # by name: several layers may share one
        operation.inputs["weight"].name: operation.inputs["weight"]
        for operation in function.operations
        if operation.name in chosen and operation.op_type in WEIGHTED
    }
    with function:
        for weight in weights.values():
            scales = _scales(weight.val, 8)
            new = _mb.constexpr_affine_dequantize(
                quantized_data=round_per_channel(weight.val, scales, 8),
                zero_point=np.int8(0),
                scale=scales,
                axis=0,
                before_op=weight.op,
                name=f"{weight.name}_quantized",
            )
            function.replace_uses_of_var_after_op(
                anchor_op=weight.op, old_var=weight, new_var=new, no_check_var_types=True
            )
            function.remove_ops([weight.op])


def _scales(weight: Floats, bits: int) -> Floats:
    return channel_scales(weight, bits, smallest=SMALLEST_FP16_SCALE, dtype=weight.dtype)


def store_int4(function: Any, weights: Mapping[str, QuantizedWeight]) -> None:
    """Store the weights of layers, by name, in int4, and correct the layers' biases."""
    with function:
        for operation in [each for each in function.operations if each.name in weights]:
            _store_int4(function, operation, weights[operation.name])


def _store_int4(function: Any, operation: Any, stored: QuantizedWeight) -> None:
    old = [operation.inputs[name] for name in ("weight", "bias") if name in operation.inputs]
    weight = old[0]
    dtype, shape = weight.val.dtype, (-1, *[1] * (weight.rank - 1))
    int4 = _types.nptype_from_builtin(_types.int4)
    bias = old[1].val if len(old) > 1 else np.zeros(len(stored.scales), dtype)
    new = _mb.constexpr_blockwise_shift_scale(
        data=stored.qweight.reshape(weight.shape).astype(int4),
        scale=stored.scales.astype(dtype).reshape(shape),
        before_op=operation,
        name=f"{operation.name}_weight_quantized",
    )
    corrected = _mb.const(
        val=(bias.astype(np.float64) + stored.bias_correction).astype(dtype),
        before_op=operation,
        name=f"{operation.name}_bias_corrected",
    )
    operation.set_inputs(weight=new, bias=corrected, no_check_var_types=True)
    function.remove_ops([each.op for each in old if not each.child_ops])


def is_dense(operation: Any) -> bool:
    """Whether each result of a layer with weights depends on all channels that it reads."""
    groups = operation.inputs.get("groups")
    return groups is None or int(groups.val) == 1


def gptq_layers(function: Any, names: Collection[str]) -> dict[str, GptqLayer]:
    """Return what GPTQ needs to know of the named layers, which are dense."""
    return {
        operation.name: _gptq_layer(operation)
        for operation in function.operations
        if operation.name in names
    }


def _gptq_layer(operation: Any) -> GptqLayer:
    weight = operation.inputs["weight"].val
    return GptqLayer(
        input=operation.inputs["x"].name,
        weight=weight.reshape(len(weight), -1),
        scales=_scales(weight, FOUR_BITS),
        im2col=partial(_columns, operation),
    )


def _columns(operation: Any, x: Values) -> Values:
    """Return what a layer multiplies its weights with: (inputs, positions)."""
    if operation.op_type == "linear":
        return x.reshape(-1, x.shape[-1]).T
    given = {name: _integers(operation, name) for name in ("strides", "dilations", "pad")}
    kernel = operation.inputs["weight"].shape[2:]
    strides, dilations = given["strides"] or (1, 1), given["dilations"] or (1, 1)
    pad_type = str(operation.inputs["pad_type"].val)
    pairs = resolve_padding(pad_type, given["pad"], x.shape[2:], kernel, strides, dilations)
    return im2col(x[0], kernel, strides, pairs, dilations)


def _integers(operation: Any, name: str) -> tuple[int, ...]:
    variable = operation.inputs.get(name)
    return () if variable is None else tuple(int(each) for each in variable.val)
