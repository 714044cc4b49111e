"""What a quantized artifact has to reach on held-out images, in every runtime that runs it here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lolvit.manifest import Artifact, Gate, Preprocess
from lolvit_export.verification.verifiers import (
    SNR_FLOOR,
    TOP1_FLOOR,
    Logits,
    Verifiers,
    gate,
    max_abs_error,
    placement_gates,
    top1_agreement,
)
from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.preprocessing import Pixels

# Points of top-1 accuracy that quantization may cost.
TOP1_CHANGE_FLOOR = -1.0
# With fewer labelled images than this one image is more than a point.
_LEAST_LABELLED = 100
# These take a second and more for an image: plain loops, an interpreter in Python, an emulator.
_MOST_IMAGES = {
    "litert-gpu": 8,
    "litert-reference": 8,
    "coreml-reference": 64,
    "qnn": 32,  # of 16, w8a16's floor for the top class would let none be a near tie
    "ort-arm64-a76": 16,
    "ort-arm64-i8mm": 16,
    "litert-arm64-a76": 16,
    "litert-arm64-i8mm": 16,
}


def most_images(runtimes: Sequence[str]) -> int | None:
    """Return how many images are looked at in one of the runtimes at the most; None: all."""
    counts = [_MOST_IMAGES.get(runtime) for runtime in runtimes]
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class Evidence:
    """Held-out images, eager's logits for each, their classes where they are known, and whether the
    weights are trained."""

    photos: Sequence[Pixels]
    references: Sequence[Logits]
    labels: Sequence[int] | None
    trained: bool


def verify_quantized(
    verifiers: Verifiers, path: Path, artifact: Artifact, evidence: Evidence, preprocess: Preprocess
) -> Artifact:
    """Return the artifact with its gates; what has been measured of it before stays.

    Eager's top class is a gate for trained weights. Random ones rate half of the photos' two top
    classes of 1000 within a tenth of the logits' rms, so that chance decides: white noise 33 dB
    below the logits changes one in ten. Their agreement is measured and told, not judged.

    Raises:
        DeviceError: a runtime refused the artifact.
    """
    gates: list[Gate] = []
    measured = dict(artifact.measured)
    for runtime in verifiers.runtimes(artifact.format):
        count = _MOST_IMAGES.get(runtime, len(evidence.photos))
        references = evidence.references[:count]
        outputs, placement = verifiers.outputs(
            runtime, path, artifact, evidence.photos[:count], preprocess
        )
        gates.append(_snr_gate(runtime, artifact.precision, references, outputs))
        gates += placement_gates(runtime, placement)
        agreement = top1_agreement(references, outputs)
        if evidence.trained:
            gates.append(gate(f"{runtime}.top1", agreement, TOP1_FLOOR[artifact.precision]))
        else:
            measured[f"{runtime}.top1_agreement"] = agreement
        measured[f"{runtime}.worst_snr_db"] = min(
            snr_db(r, o) for r, o in zip(references, outputs, strict=True)
        )
        measured[f"{runtime}.max_abs_error"] = max_abs_error(references, outputs)
        if evidence.labels is not None and len(references) >= _LEAST_LABELLED:
            labels = evidence.labels[:count]
            eager, kept = accuracy(references, labels), accuracy(outputs, labels)
            gates.append(gate(f"{runtime}.top1_change", kept - eager, TOP1_CHANGE_FLOOR))
            measured[f"{runtime}.top1_accuracy"] = kept
            measured["eager.top1_accuracy"] = eager
    return artifact.model_copy(update={"gates": tuple(gates), "measured": measured})


def _snr_gate(
    runtime: str, precision: str, references: Sequence[Logits], outputs: Sequence[Logits]
) -> Gate:
    """Rounding to 8 bits errs at random: an image with small logits tells little, so that the SNR
    is that of all images' logits together. The worst image's is reported beside it."""
    together = snr_db(np.concatenate(references), np.concatenate(outputs))
    return gate(f"{runtime}.snr_db", together, SNR_FLOOR[runtime, precision])


def accuracy(outputs: Sequence[Logits], labels: Sequence[int]) -> float:
    """Return the top-1 accuracy in per cent."""
    right = sum(int(o.argmax()) == label for o, label in zip(outputs, labels, strict=True))
    return 100 * right / len(labels)
