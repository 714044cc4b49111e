"""Means and second moments of what layers multiply their weights with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lolvit_export.quantization.compensation import Array, Inputs
from lolvit_export.quantization.ranges import Values
from lolvit_runtimes.preprocessing import Pixels

_IMAGES = 64  # more move the moments of a layer less than rounding does


def spread(images: Sequence[Pixels]) -> Sequence[Pixels]:
    """Return the images to count, evenly of all."""
    return images[:: max(1, len(images) // _IMAGES)][:_IMAGES]


class InputMoments:
    """Sums over images, by layer."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}
        self._products: dict[str, Array] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: str, columns: Values) -> None:
        """Count what a layer reads on one image: `columns` (inputs, places), or those of each group
        (groups, inputs, places)."""
        exact = columns.astype(np.float64)
        self._sums[layer] = self._sums.get(layer, 0.0) + exact.sum(axis=-1)
        products = exact @ np.swapaxes(exact, -1, -2)
        self._products[layer] = self._products.get(layer, 0.0) + products
        self._counts[layer] = self._counts.get(layer, 0) + columns.shape[-1]

    def of(self, layer: str) -> Inputs:
        """Return the mean and the moments of a layer that was counted."""
        count = self._counts[layer]
        return Inputs(self._sums[layer] / count, self._products[layer] / count)


def patches(
    image: Values,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilations: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Return what a convolution reads of an image (channels, H, W), for each of its results a
    column: (channels * kernel height * kernel width, places). `padding` are the zeros (before,
    after) in H and W."""
    padded = np.pad(image, ((0, 0), *padding))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    read = windows[
        :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]
    ]  # (channels, H', W', kernel height, kernel width)
    columns = read.transpose(0, 3, 4, 1, 2)
    return columns.reshape(image.shape[0] * kernel[0] * kernel[1], -1)
