"""What operations are given, in torch's terms.

A float tensor arrives as float32, whatever its type in the program: rounding to float16 is the
interpreter's business. Constant integers and booleans of rank 1 arrive as tuples, constants of
rank 0 as Python numbers, but where the parameter is a `Tensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Ints = Sequence[int] | Tensor
Operand = Tensor | float | Sequence[float]
Result = Tensor | Sequence[Tensor]
Operation = Callable[..., Result]


def ints(values: Ints | int) -> list[int]:
    """Return integers as a list."""
    if isinstance(values, int):
        return [values]
    listed = values.tolist() if isinstance(values, Tensor) else values
    return [int(value) for value in listed]


def tensor(operand: Operand) -> Tensor:
    """Return a constant as a tensor, a tensor as it is."""
    return operand if isinstance(operand, Tensor) else torch.as_tensor(operand)


def unsupported(parameter: str, value: Any) -> NotImplementedError:
    """Return the error for a parameter value that the interpreter does not execute."""
    return NotImplementedError(f"{parameter}={value!r} is not supported")
