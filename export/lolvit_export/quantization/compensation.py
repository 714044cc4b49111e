"""Weights rounded to few bits so that the layer's results stay, not the weights.

Rounding one weight errs by e. Inputs are correlated, so that weights which are not rounded yet can
make good for most of it: column after column, the rest moves by what errs least over the images
(Frantar et al., GPTQ, arXiv:2210.17323). What error is left has a mean, which the bias takes up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Of the mean moment, added to each: inputs that the images hardly excite stay near their weights.
_DAMPING = 0.01
_LEAST_STEP = 2.0**-14  # the least normal number of fp16, which formats store steps in

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """What a layer's weights are multiplied with, over all places and images; of a convolution in
    groups, for each group."""

    mean: Array  # (inputs,) or (groups, inputs)
    moments: Array  # (inputs, inputs) or (groups, inputs, inputs), of second order


@dataclass(frozen=True)
class Rounded:
    """Weights (outputs, inputs) as codes * steps, one step an output channel."""

    codes: npt.NDArray[np.int8]  # (outputs, inputs)
    steps: Array  # (outputs,)
    bias_change: Array  # (outputs,)


def largest_code(bits: int) -> int:
    """Return the largest code of so many bits. Codes are symmetric: -8 is none of 4 bits."""
    return (1 << (bits - 1)) - 1


def channel_steps(weight: Array, bits: int, step_type: npt.DTypeLike) -> Array:
    """Return the steps (outputs,) with which a weight (outputs, inputs) just fits into codes of
    `bits`; they are numbers of `step_type`."""
    steps = np.maximum(np.abs(weight).max(axis=1) / largest_code(bits), _LEAST_STEP)
    return np.asarray(steps.astype(step_type), np.float64)


def rounded(weight: Array, inputs: Inputs, steps: Array, bits: int) -> Rounded:
    """Round a weight (outputs, inputs) to codes of `bits` (8 at most) times `steps` (outputs,).
    Where `inputs` are of groups, each has as many of the outputs, one group's behind another's."""
    width = weight.shape[1]
    means, moments = inputs.mean.reshape(-1, width), inputs.moments.reshape(-1, width, width)
    exact = (weight / steps[:, None]).reshape(len(means), -1, width)
    found = [_compensated(*group, largest_code(bits)) for group in zip(exact, moments, strict=True)]
    codes = np.concatenate(found)
    error = (codes * steps[:, None] - weight).reshape(exact.shape)
    change = -np.einsum("goi,gi->go", error, means)
    return Rounded(codes.astype(np.int8), steps, change.ravel())


def _compensated(exact: Array, moments: Array, largest: int) -> Array:
    """Return whole numbers for `exact` (outputs, inputs), the strongest input first."""
    order = np.argsort(-np.diag(moments), kind="stable")
    left = exact[:, order]
    spread = _spread(moments[np.ix_(order, order)])
    codes = np.empty_like(left)
    for column in range(len(order)):
        codes[:, column] = np.clip(np.rint(left[:, column]), -largest, largest)
        error = (left[:, column] - codes[:, column]) / spread[column, column]
        left[:, column + 1 :] -= np.outer(error, spread[column, column + 1 :])
    result = np.empty_like(codes)
    result[:, order] = codes
    return result


def _spread(moments: Array) -> Array:
    """Return the upper Cholesky factor of the inverse: row i says how an error in column i is
    spread over the columns behind it."""
    size = len(moments)
    typical = float(np.diag(moments).mean()) or 1.0  # an input that is always zero has none
    inverse = np.linalg.inv(moments + _DAMPING * typical * np.eye(size))
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float64)
