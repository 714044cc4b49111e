"""GPTQ: weights rounded so that a layer's results stay near, not each weight.

    w (outputs, inputs)   ->   qweight (outputs, inputs) * scales (outputs, 1)

Rounding one weight errs by e. A layer's inputs are correlated, so that weights which are not
rounded yet can make good for most of it: column after column, the rest moves by what minimizes the
squared error of the results over the images (Frantar et al., GPTQ, arXiv:2210.17323; columns in the
order of their moments, its option "act-order"). What error is left has a mean, which the bias
takes up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.rounding import Floats, qmax

# Of the mean moment, added to each: inputs that the images hardly excite stay near their weights.
_DAMPING = 0.01
GPTQ_IMAGES = 64  # more move the moments of a layer less than rounding does

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """Statistics of what a layer's weights are multiplied with, over all positions and images; of a
    convolution in groups, for each group."""

    mean: Array  # (inputs,) or (groups, inputs)
    moments: Array  # (inputs, inputs) or (groups, inputs, inputs), of second order


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight (outputs, inputs) as qweight * scales, one scale an output channel."""

    qweight: npt.NDArray[np.int8]  # (outputs, inputs)
    scales: Array  # (outputs,)
    bias_correction: Array  # (outputs,), to be added to the bias


@dataclass(frozen=True)
class GptqLayer:
    """What GPTQ needs to know of a layer, whatever its format."""

    input: str  # the tensor that it reads, by any unique key
    weight: Floats  # (outputs, inputs), its inputs ordered as the format has them
    scales: Floats  # (outputs,), as they will be stored
    # from the layer's input on one image to (inputs, positions) or (groups, inputs, positions)
    im2col: Callable[[Values], Values]


class Gptq:
    """The quantized weights of a model's layers: each layer's once, for whichever plan."""

    def __init__(self, layers: Mapping[str, GptqLayer], bits: int) -> None:
        self._layers, self._bits = layers, bits
        self._moments = InputMoments()
        self._quantized: dict[str, QuantizedWeight] = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors to observe, each once."""
        return tuple(dict.fromkeys(layer.input for layer in self._layers.values()))

    def observe(self, tensor: str, values: Values) -> None:
        """Add a tensor's values on one image to the statistics of the layers that read it."""
        for name, layer in self._layers.items():
            if layer.input == tensor:
                self._moments.add(name, layer.im2col(values))

    def quantized(self, name: str) -> QuantizedWeight:
        """Return a layer's weight; its input has been observed."""
        if name not in self._quantized:
            layer = self._layers[name]
            self._quantized[name] = gptq(
                layer.weight.astype(np.float64),
                self._moments.of(name),
                layer.scales.astype(np.float64),
                self._bits,
            )
        return self._quantized[name]

    def all(self) -> dict[str, QuantizedWeight]:
        """Return every layer's weight."""
        return {name: self.quantized(name) for name in self._layers}


class InputMoments:
    """Sums over images, by layer."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}
        self._products: dict[str, Array] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: str, columns: Values) -> None:
        """Add what a layer reads on one image: `columns` (inputs, positions), or those of each
        group (groups, inputs, positions)."""
        exact = columns.astype(np.float64)
        self._sums[layer] = self._sums.get(layer, 0.0) + exact.sum(axis=-1)
        products = exact @ np.swapaxes(exact, -1, -2)
        self._products[layer] = self._products.get(layer, 0.0) + products
        self._counts[layer] = self._counts.get(layer, 0) + columns.shape[-1]

    def of(self, layer: str) -> Inputs:
        """Return the mean and the moments of a layer that was added."""
        count = self._counts[layer]
        return Inputs(self._sums[layer] / count, self._products[layer] / count)


def gptq(weight: Array, inputs: Inputs, scales: Array, bits: int) -> QuantizedWeight:
    """Round a weight (outputs, inputs) to integers of `bits` (8 at most) times `scales` (outputs,).
    Where `inputs` are of groups, each has as many of the outputs, one group's behind another's."""
    width = weight.shape[1]
    means, moments = inputs.mean.reshape(-1, width), inputs.moments.reshape(-1, width, width)
    exact = (weight / scales[:, None]).reshape(len(means), -1, width)
    groups = [_round_columns(*group, qmax(bits)) for group in zip(exact, moments, strict=True)]
    qweight = np.concatenate(groups)
    error = (qweight * scales[:, None] - weight).reshape(exact.shape)
    correction = -np.einsum("goi,gi->go", error, means)
    return QuantizedWeight(qweight.astype(np.int8), scales, correction.ravel())


def _round_columns(exact: Array, moments: Array, largest: int) -> Array:
    """Return whole numbers for `exact` (outputs, inputs), the strongest input first."""
    order = np.argsort(-np.diag(moments), kind="stable")
    left = exact[:, order]
    factor = _inverse_cholesky(moments[np.ix_(order, order)])
    rounded = np.empty_like(left)
    for column in range(len(order)):
        rounded[:, column] = np.clip(np.rint(left[:, column]), -largest, largest)
        error = (left[:, column] - rounded[:, column]) / factor[column, column]
        left[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result


def _inverse_cholesky(moments: Array) -> Array:
    """Return the upper Cholesky factor of the inverse of the damped moments: row i has how an error
    in column i is distributed over the columns behind it."""
    size = len(moments)
    typical = float(np.diag(moments).mean()) or 1.0  # an input that is always zero has none
    inverse = np.linalg.inv(moments + _DAMPING * typical * np.eye(size))
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float64)


def im2col(
    image: Values,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilations: Sequence[int],
) -> Values:
    """Return what a convolution reads of an image (channels, H, W), a column for each of its
    results: (channels * kernel height * kernel width, positions). `padding` are the zeros (before,
    after) in H and W."""
    padded = np.pad(image, ((0, 0), *padding))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    read = windows[
        :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]
    ]  # (channels, H', W', kernel height, kernel width)
    columns = read.transpose(0, 3, 4, 1, 2)
    return columns.reshape(image.shape[0] * kernel[0] * kernel[1], -1)
