"""Activations in 8 bits: real values into steps of a scale, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Operand, Operation, tensor, unsupported

_TYPES = {"int8": torch.int8, "uint8": torch.uint8}


def quantize(
    input: Tensor,
    scale: Operand,
    output_dtype: str,
    zero_point: Operand | None = None,
    axis: int | None = None,
) -> Tensor:
    """clip(round(input / scale) + zero_point) to the type's range, halves rounded to even."""
    if output_dtype not in _TYPES:
        raise unsupported("output_dtype", output_dtype)
    limits = torch.iinfo(_TYPES[output_dtype])
    steps = torch.round(input / _along(scale, input, axis)) + _offset(zero_point, input, axis)
    return steps.clamp(limits.min, limits.max).to(_TYPES[output_dtype])


def dequantize(
    input: Tensor, scale: Operand, zero_point: Operand | None = None, axis: int | None = None
) -> Tensor:
    """scale * (input - zero_point)"""
    return (input.float() - _offset(zero_point, input, axis)) * _along(scale, input, axis)


def _offset(zero_point: Operand | None, x: Tensor, axis: int | None) -> Tensor:
    return tensor(0.0) if zero_point is None else _along(zero_point, x, axis)


def _along(operand: Operand, x: Tensor, axis: int | None) -> Tensor:
    """Return one value for all of `x`, or one for each place of its `axis`, to broadcast."""
    values = tensor(operand).float()
    if axis is None or values.dim() == 0:
        return values
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.reshape(shape)


QUANTIZATION: dict[str, Operation] = {"quantize": quantize, "dequantize": dequantize}
