"""Activations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Operation, unsupported

_GELU = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}


def relu(x: Tensor) -> Tensor:
    return x.relu()


def relu6(x: Tensor) -> Tensor:
    return x.clamp(0, 6)


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """`alpha` (channels,) is the slope of each channel below zero."""
    return F.prelu(x, alpha)


def elu(x: Tensor, alpha: float) -> Tensor:
    return F.elu(x, alpha)


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """x where x >= alpha, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def sigmoid(x: Tensor) -> Tensor:
    return x.sigmoid()


def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    """min(max(alpha * x + beta, 0), 1)."""
    return (x * alpha + beta).clamp(0, 1)


def silu(x: Tensor) -> Tensor:
    return F.silu(x)


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode not in _GELU:
        raise unsupported("mode", mode)
    return F.gelu(x, approximate=_GELU[mode])


def softplus(x: Tensor) -> Tensor:
    return F.softplus(x)


def tanh(x: Tensor) -> Tensor:
    return x.tanh()


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return x.softmax(axis)


def linear_activation(x: Tensor, alpha: float, beta: float = 0.0) -> Tensor:
    return x * alpha + beta


def softsign(x: Tensor) -> Tensor:
    return F.softsign(x)


def scaled_tanh(x: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    return alpha * (beta * x).tanh()


ACTIVATION: dict[str, Operation] = {
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "elu": elu,
    "thresholded_relu": thresholded_relu,
    "sigmoid": sigmoid,
    "sigmoid_hard": sigmoid_hard,
    "silu": silu,
    "gelu": gelu,
    "softplus": softplus,
    "tanh": tanh,
    "softmax": softmax,
    "linear_activation": linear_activation,
    "softsign": softsign,
    "scaled_tanh": scaled_tanh,
}
