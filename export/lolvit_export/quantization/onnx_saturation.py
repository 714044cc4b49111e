"""Weights with which ONNX Runtime's integer kernels are exact on every x86 processor.

On processors without VNNI (AMD before Zen 4, Intel's desktops before Rocket Lake) its kernels
multiply uint8 activations by int8 weights with VPMADDUBSW, which adds the products of two
neighbours in 16 bits and clips the sum: 255 * 127 + 255 * 127 becomes 32767. Weights of the full
range then give wrong logits there, though exact ones where the file was verified. No sum is
clipped, whatever the activations are, if

    w0 + w1 <= 128     for two neighbours, of which each less than zero counts as zero
    w0 + w1 >= -128    likewise

onnxruntime.quantization has `reduce_range` for this, which takes a bit of every weight.

Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from lolvit_export.quantization.onnx_graph import attribute
from lolvit_export.quantization.rounding import Floats

LARGEST_SUM = 128  # of two neighbours: 255 * 128 is less than 2^15


def unclipped_scales(
    node: onnx.NodeProto, weight: Floats, *, axis: int, zero_point: int = 0
) -> Floats:
    """Return the least scales (outputs,) with which no two neighbours of a weight, rounded and with
    `zero_point` added, have a larger sum than LARGEST_SUM. `axis` counts the outputs."""
    rows = np.moveaxis(weight.astype(np.float64), axis, 0)
    # Rounding adds a half to each at most.
    return largest_sums(rows, attribute(node, "group", 1)) / (LARGEST_SUM - 1 - 2 * zero_point)


def largest_sums(rows: Floats, groups: int) -> Floats:
    """Return for each output (outputs,) of a weight (outputs, inputs, ...) the largest absolute sum
    of two neighbours of one sign, with channels last, as kernels read them, and with channels
    first; 0 for a depthwise convolution, whose kernel adds in 32 bits."""
    found = np.zeros(len(rows))
    if rows.shape[1] == 1 and len(rows) == groups:
        return found
    orders = [rows]
    if math.prod(rows.shape[2:]) > 1:  # else both are the same
        orders.append(np.moveaxis(rows, 1, -1))
    for order in orders:
        flat = order.reshape(len(rows), -1)
        pairs = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))).reshape(len(rows), -1, 2)
        for sign in (1, -1):
            sums = np.maximum(sign * pairs, 0).sum(axis=2).max(axis=1)
            found = np.maximum(found, sums)
    return found
