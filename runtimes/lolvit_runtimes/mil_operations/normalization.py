"""Normalisation. Mean and variance are taken in float32, also in float16 programs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each channel of `x` (n, C, *D) with recorded statistics (C,)."""
    return F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, epsilon)


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel of each image of `x` (n, C, *D) with its own statistics."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon)


def layer_norm(
    x: Tensor,
    axes: Ints = (),
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise over `axes` (all, if none is named); `gamma` and `beta` have their shape."""
    over = sorted(axis % x.dim() for axis in ints(axes)) or list(range(x.dim()))
    if over == list(range(x.dim() - len(over), x.dim())):
        return F.layer_norm(x, [x.shape[axis] for axis in over], gamma, beta, epsilon)
    centred = x - x.mean(over, keepdim=True)
    normal = centred * (centred.square().mean(over, keepdim=True) + epsilon).rsqrt()
    shape = [extent if axis in over else 1 for axis, extent in enumerate(x.shape)]
    scaled = normal if gamma is None else normal * gamma.reshape(shape)
    return scaled if beta is None else scaled + beta.reshape(shape)


def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Divide by the root of the sum of squares over the last three axes."""
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + epsilon).sqrt()


def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by a power of the mean square of `size` neighbouring channels."""
    return F.local_response_norm(x, size, alpha, beta, k)


NORMALIZATION: dict[str, Operation] = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "l2_norm": l2_norm,
    "local_response_norm": local_response_norm,
}
