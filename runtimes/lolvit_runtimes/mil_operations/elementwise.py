"""Arithmetic, comparison and rounding, element by element, with broadcasting."""

from __future__ import annotations

import torch
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Operand, Operation, tensor, unsupported

_CASTS = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int32": torch.int32,
    "bool": torch.bool,
}


def add(x: Operand, y: Operand) -> Tensor:
    return tensor(x) + tensor(y)


def sub(x: Operand, y: Operand) -> Tensor:
    return tensor(x) - tensor(y)


def mul(x: Operand, y: Operand) -> Tensor:
    return tensor(x) * tensor(y)


def real_div(x: Operand, y: Operand) -> Tensor:
    return tensor(x) / tensor(y)


def floor_div(x: Operand, y: Operand) -> Tensor:
    return torch.floor_divide(tensor(x), tensor(y))


def mod(x: Operand, y: Operand) -> Tensor:
    return torch.remainder(tensor(x), tensor(y))


def pow_(x: Operand, y: Operand) -> Tensor:
    return torch.pow(tensor(x), tensor(y))


def maximum(x: Operand, y: Operand) -> Tensor:
    return torch.maximum(tensor(x), tensor(y))


def minimum(x: Operand, y: Operand) -> Tensor:
    return torch.minimum(tensor(x), tensor(y))


def equal(x: Operand, y: Operand) -> Tensor:
    return tensor(x) == tensor(y)


def not_equal(x: Operand, y: Operand) -> Tensor:
    return tensor(x) != tensor(y)


def greater(x: Operand, y: Operand) -> Tensor:
    return tensor(x) > tensor(y)


def greater_equal(x: Operand, y: Operand) -> Tensor:
    return tensor(x) >= tensor(y)


def less(x: Operand, y: Operand) -> Tensor:
    return tensor(x) < tensor(y)


def less_equal(x: Operand, y: Operand) -> Tensor:
    return tensor(x) <= tensor(y)


def logical_and(x: Operand, y: Operand) -> Tensor:
    return torch.logical_and(tensor(x), tensor(y))


def logical_or(x: Operand, y: Operand) -> Tensor:
    return torch.logical_or(tensor(x), tensor(y))


def logical_xor(x: Operand, y: Operand) -> Tensor:
    return torch.logical_xor(tensor(x), tensor(y))


def logical_not(x: Tensor) -> Tensor:
    return torch.logical_not(x)


def select(cond: Operand, a: Operand, b: Operand) -> Tensor:
    """Take `a` where `cond` holds, else `b`."""
    return torch.where(tensor(cond).bool(), tensor(a), tensor(b))


def abs_(x: Tensor) -> Tensor:
    return x.abs()


def sign(x: Tensor) -> Tensor:
    return x.sign()


def square(x: Tensor) -> Tensor:
    return x * x


def sqrt(x: Tensor) -> Tensor:
    return x.sqrt()


def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return (x + epsilon).rsqrt()


def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """1 / (x + epsilon): the reciprocal only for epsilon = 0."""
    return (x + epsilon).reciprocal()


def exp(x: Tensor) -> Tensor:
    return x.exp()


def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    return (x + epsilon).log()


def sin(x: Tensor) -> Tensor:
    return x.sin()


def cos(x: Tensor) -> Tensor:
    return x.cos()


def erf(x: Tensor) -> Tensor:
    return x.erf()


def floor(x: Tensor) -> Tensor:
    return x.floor()


def ceil(x: Tensor) -> Tensor:
    return x.ceil()


def round_(x: Tensor) -> Tensor:
    return x.round()


def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    return x.clamp(alpha, beta)


def cast(x: Operand, dtype: str) -> Tensor:
    """Convert to another type: float to integer truncates towards zero."""
    if dtype not in _CASTS:
        raise unsupported("dtype", dtype)
    return tensor(x).to(_CASTS[dtype])


def identity(x: Tensor) -> Tensor:
    return x


def tan(x: Tensor) -> Tensor:
    return x.tan()


def asin(x: Tensor) -> Tensor:
    return x.asin()


def acos(x: Tensor) -> Tensor:
    return x.acos()


def atan(x: Tensor) -> Tensor:
    return x.atan()


def sinh(x: Tensor) -> Tensor:
    return x.sinh()


def cosh(x: Tensor) -> Tensor:
    return x.cosh()


def atanh(x: Tensor) -> Tensor:
    return x.atanh()


def exp2(x: Tensor) -> Tensor:
    return x.exp2()


def threshold(x: Tensor, alpha: float) -> Tensor:
    """x where x > alpha, else alpha."""
    return x.clamp(min=alpha)


ELEMENTWISE: dict[str, Operation] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "real_div": real_div,
    "floor_div": floor_div,
    "mod": mod,
    "pow": pow_,
    "maximum": maximum,
    "minimum": minimum,
    "equal": equal,
    "not_equal": not_equal,
    "greater": greater,
    "greater_equal": greater_equal,
    "less": less,
    "less_equal": less_equal,
    "logical_and": logical_and,
    "logical_or": logical_or,
    "logical_xor": logical_xor,
    "logical_not": logical_not,
    "select": select,
    "abs": abs_,
    "sign": sign,
    "square": square,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "inverse": inverse,
    "exp": exp,
    "log": log,
    "sin": sin,
    "cos": cos,
    "erf": erf,
    "floor": floor,
    "ceil": ceil,
    "round": round_,
    "clip": clip,
    "cast": cast,
    "identity": identity,
    "tan": tan,
    "asin": asin,
    "acos": acos,
    "atan": atan,
    "sinh": sinh,
    "cosh": cosh,
    "atanh": atanh,
    "exp2": exp2,
    "threshold": threshold,
}
