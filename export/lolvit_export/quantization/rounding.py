"""Rounding to integers: weights symmetrically per output channel, all else affinely per tensor.

    weights       q = clip(round(w / s), -qmax, qmax)       s = max|w| / qmax
    activations   q = clip(round(x / s) + z, 0, umax)       s = (high - low) / umax

with qmax = 2^(bits - 1) - 1, umax = 2^bits - 1 and z = -low / s.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, arXiv:1712.05877. Whatever is not rounded by a format's own tools is rounded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit_export.quantization.ranges import Range, Values

SMALLEST_SCALE = 1e-12  # of a tensor that is zero, where scales are float32
# The least normal number of fp16, for formats that store scales in it: hardware flushes smaller
# ones to zero.
SMALLEST_FP16_SCALE = 2.0**-14

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class QuantParams:
    """What an integer q of a tensor stands for: (q - zero_point) * scale."""

    scale: np.float32
    zero_point: int

    def quantize(self, values: Floats, bits: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return the nearest unsigned integers of `bits` (8 or 16), of the shape of `values`."""
        exact = np.rint(values / self.scale) + self.zero_point
        return np.asarray(np.clip(exact, 0, 2**bits - 1), unsigned(bits))

    def dequantize(self, integers: npt.NDArray[np.integer[Any]]) -> Values:
        """Return the values that integers stand for."""
        return (integers.astype(np.float32) - np.float32(self.zero_point)) * self.scale

    def limits(self, bits: int) -> Range:
        """Return the values of the least and the largest unsigned integer of `bits`."""
        least, largest = -self.zero_point, 2**bits - 1 - self.zero_point
        return least * float(self.scale), largest * float(self.scale)


def quant_params(limits: Range, bits: int) -> QuantParams:
    """Return the parameters of 2^bits unsigned integers over a range, widened to hold zero: padding
    and clamps need it to be exact."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = max((high - low) / (2**bits - 1), SMALLEST_SCALE)
    return QuantParams(np.float32(scale), int(np.clip(round(-low / scale), 0, 2**bits - 1)))


def unsigned(bits: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the type of unsigned integers of 8 or 16 bits."""
    return np.dtype(np.uint8 if bits == 8 else np.uint16)


def qmax(bits: int) -> int:
    """Return the largest signed integer of so many bits. The range is symmetric: of 4 bits, -8 is
    not used."""
    return (1 << (bits - 1)) - 1


def channel_scales(
    weight: Floats,
    bits: int,
    *,
    axis: int = 0,
    smallest: float = SMALLEST_SCALE,
    dtype: npt.DTypeLike = np.float32,
) -> Floats:
    """Return the scales (outputs,) of a weight whose `axis` counts its outputs, as numbers of
    `dtype`; none is less than `smallest`."""
    others = tuple(each for each in range(weight.ndim) if each != axis)
    largest = np.abs(weight.astype(np.float64)).max(axis=others)
    scales: Floats = np.maximum(largest / qmax(bits), smallest).astype(dtype)
    return scales


def round_per_channel(
    weight: Floats, scales: Floats, bits: int, *, axis: int = 0
) -> npt.NDArray[np.int8]:
    """Return a weight as the nearest integers of `bits` (8 at most) times `scales` (outputs,)."""
    along = scales.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    exact = np.rint(weight.astype(np.float64) / along)
    return np.clip(exact, -qmax(bits), qmax(bits)).astype(np.int8)
