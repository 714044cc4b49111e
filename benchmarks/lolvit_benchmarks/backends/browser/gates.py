"""Whether an artifact's logits in the browser are those that it gives on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.session import FloatArray

# The least SNR in dB, by runtime and precision. GPUs add in another order, and ONNX Runtime's
# WebGPU kernels keep less than others do: MobileViT-XS is at 68 dB in them, and at 114 dB in
# LiteRT's on the same (software) GPU.
_LESS = {"fp16": 45.0, "int8": 20.0, "w8a16": 28.0, "w4": 20.0}
FLOORS: dict[str, dict[str, float]] = {
    "ort-web-wasm": {"fp32": 100.0, **_LESS},
    "ort-web-webgpu": {"fp32": 60.0, **_LESS},
    "litert-web-wasm": {"fp32": 100.0, **_LESS},
    "litert-web-webgpu": {"fp32": 90.0, **_LESS},
}


@dataclass(frozen=True)
class Agreement:
    """How near the logits are, in dB, and what is wrong with them; None: nothing."""

    snr_db: float
    missed: str | None


def agreement(
    runtime: str, precision: str, reference: FloatArray, logits: npt.NDArray[np.float64]
) -> Agreement:
    """Compare logits of shape (1, classes) with those of this machine, on one photo."""
    if logits.shape != reference.shape:
        return Agreement(-300.0, f"gave {logits.size} logits, not {reference.size}")
    found = snr_db(reference.astype(np.float64), logits)
    floor = FLOORS[runtime][precision]
    if found < floor:
        return Agreement(
            found, f"its logits are at {found:.1f} dB of this machine's, below {floor:g} dB"
        )
    if logits.argmax() != reference.argmax():
        return Agreement(found, "its first class is not the one found on this machine")
    return Agreement(found, None)
