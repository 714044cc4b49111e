"""Weights rounded to 4 bits so that the layer's results stay, not the weights.

Rounding one weight errs by e. Inputs are correlated, so that weights which are not rounded yet can
make good for most of it: column after column, the rest moves by what errs least over the images
(Frantar et al., GPTQ, arXiv:2210.17323). What error is left has a mean, which the bias takes up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGEST_CODE = 7  # codes are symmetric: -8 is not used
# Of the mean moment, added to each: inputs that the images hardly excite stay near their weights.
_DAMPING = 0.01
_LEAST_STEP = 2.0**-14  # the least normal number of fp16, which formats store steps in

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """What a layer's weights are multiplied with, over all places and images."""

    mean: Array  # (inputs,)
    moments: Array  # (inputs, inputs), of second order


@dataclass(frozen=True)
class Rounded:
    """Weights (outputs, inputs) as codes * steps, one step an output channel."""

    codes: npt.NDArray[np.int8]  # (outputs, inputs)
    steps: Array  # (outputs,)
    bias_change: Array  # (outputs,)


def rounded(weight: Array, inputs: Inputs, step_type: npt.DTypeLike) -> Rounded:
    """Round a weight (outputs, inputs); steps are numbers of `step_type`."""
    largest = np.abs(weight).max(axis=1)
    steps = np.maximum(largest / LARGEST_CODE, _LEAST_STEP).astype(step_type).astype(np.float64)
    codes = _compensated(weight / steps[:, None], inputs.moments)
    error = codes * steps[:, None] - weight
    return Rounded(codes.astype(np.int8), steps, -error @ inputs.mean)


def _compensated(exact: Array, moments: Array) -> Array:
    """Return whole numbers for `exact` (outputs, inputs), the strongest input first."""
    order = np.argsort(-np.diag(moments), kind="stable")
    left = exact[:, order]
    spread = _spread(moments[np.ix_(order, order)])
    codes = np.empty_like(left)
    for column in range(len(order)):
        codes[:, column] = np.clip(np.rint(left[:, column]), -LARGEST_CODE, LARGEST_CODE)
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
