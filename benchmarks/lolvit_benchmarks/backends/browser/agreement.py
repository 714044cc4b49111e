"""Whether an artifact computes in the page what it computes on this machine: its outputs for one
photo, or an even selection of their values, are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit.manifest import Artifact, TensorSpec
from lolvit.tasks.segmentation import SegmentationTask
from lolvit_runtimes.snr import full_scale_snr_db, snr_db

# Values of an output that a page sends: all of a detector's would be several megabytes.
MOST_VALUES = 5000
# By runtime and precision. GPUs sum in another order, and ONNX Runtime's WebGPU kernels are less
# accurate than others: MobileViT-XS has 68 dB in them, and 114 dB in LiteRT's on the same software
# GPU.
_REDUCED = {"fp16": 45.0, "int8": 20.0, "w8a16": 28.0, "w4": 20.0}
SNR_THRESHOLDS_DB: dict[str, dict[str, float]] = {
    "ort-web-wasm": {"fp32": 100.0, **_REDUCED},
    "ort-web-webgpu": {"fp32": 60.0, **_REDUCED},
    "litert-web-wasm": {"fp32": 100.0, **_REDUCED},
    "litert-web-webgpu": {"fp32": 90.0, **_REDUCED},
}

Array = npt.NDArray[Any]
References = Mapping[str, Array]  # an artifact's outputs on this machine, by its names


@dataclass(frozen=True)
class Selected:
    """An output in the page: its number of values, and every n-th of them."""

    size: int
    values: Array


@dataclass(frozen=True)
class Agreement:
    """The lowest SNR of an artifact's outputs (None: it has maps of classes alone), and why they
    fail the check (None: they pass)."""

    snr_db: float | None
    problem: str | None


def step_of(spec: TensorSpec) -> int:
    """Return the distance of the values that are compared: 1 for a classifier's logits, whose
    largest is compared too. It has no factor in common with any extent, so that every class and
    every side of a box is among them."""
    if len(spec.shape) <= 2:
        return 1
    step = math.ceil(math.prod(spec.shape) / MOST_VALUES)
    while step > 1 and any(math.gcd(step, extent) > 1 for extent in spec.shape):
        step += 1
    return step


def snr_threshold_db(runtime: str, artifact: Artifact) -> float:
    """Return the SNR, in dB, that an artifact's outputs in the page must have."""
    return artifact.device_threshold_db(SNR_THRESHOLDS_DB[runtime][artifact.precision])


def agreement(
    runtime: str, artifact: Artifact, references: References, outputs: Mapping[str, Selected]
) -> Agreement:
    """Compare the page's outputs for one photo with those of this machine."""
    lowest: float | None = None
    for spec in artifact.outputs:
        expected, found = references[spec.name], outputs.get(spec.name, Selected(0, np.empty(0)))
        chosen = expected.ravel()[:: step_of(spec)]
        if found.size != expected.size or len(found.values) != len(chosen):
            return Agreement(-300.0, f"gave {found.size} {spec.meaning}, not {expected.size}")
        if spec.meaning == "classes":
            problem = _other_classes(artifact, chosen, found.values)
        else:
            compare = full_scale_snr_db if spec.meaning == "scores" else snr_db
            snr = compare(chosen.astype(np.float64), found.values)
            lowest = snr if lowest is None else min(lowest, snr)
            problem = _low_snr(spec, snr, snr_threshold_db(runtime, artifact))
        if problem is None and spec.layout == "NC" and found.values.argmax() != chosen.argmax():
            problem = "its top-1 class is not that of this machine"
        if problem is not None:
            return Agreement(lowest, problem)
    return Agreement(lowest, None)


def _low_snr(spec: TensorSpec, snr: float, threshold: float) -> str | None:
    if snr >= threshold:
        return None
    return f"the SNR of its {spec.meaning} is {snr:.1f} dB, below the threshold of {threshold:g} dB"


def _other_classes(artifact: Artifact, expected: Array, found: Array) -> str | None:
    same = float((expected == found).mean())
    threshold = SegmentationTask.agreement_thresholds[artifact.precision]
    if same >= threshold:
        return None
    return f"{same:.2%} of its pixels have this machine's class, fewer than {threshold:.1%}"
