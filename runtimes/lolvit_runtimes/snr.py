"""Signal-to-noise ratio of a runtime's output against a reference, in numpy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def snr_db(reference: npt.NDArray[np.float64], output: npt.NDArray[np.floating]) -> float:
    """Return 10·log10(Σ reference² / Σ (reference - output)²), in dB, limited to ±300.

    An output that is not finite, or so large that its square is not, gives -300 dB.
    """
    if not np.isfinite(output).all():
        return -300.0
    with np.errstate(over="ignore"):
        noise = float(np.square(reference - output).sum())
    if not math.isfinite(noise):
        return -300.0
    signal = float(np.square(reference).sum())
    if noise == 0:
        return 300.0
    return max(-300.0, min(300.0, 10 * math.log10(signal / noise))) if signal else -300.0


def full_scale_snr_db(
    reference: npt.NDArray[np.float64], output: npt.NDArray[np.floating]
) -> float:
    """Return the SNR of scores, outputs from 0 to 1, relative to 1: where a detector sees nothing
    all of them are nearly 0, and a runtime's sigmoid has an absolute error of about 1e-7."""
    return snr_db(np.ones_like(reference), 1 + (output - reference))
