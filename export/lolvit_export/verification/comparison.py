"""How near an artifact's outputs are to eager's, and whether that is near enough: numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lolvit.manifest import Gate
from lolvit.tasks import Outputs, Task
from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.table import RUNTIMES

# How much worse than eager PyTorch in the same precision an artifact may be, in dB, and what half
# precision has to reach in any case. Converters round weights and sums in other places than eager
# does: good fp16 artifacts of EfficientNet-Lite0, trained on ImageNet, are 1.6 to 3.4 dB worse than
# eager's half precision, one of torchvision's mobilenet_v3_small, untrained, 6.4 dB.
NOISE_MARGIN_DB = {"fp32": 6.0, "fp16": 10.0}
LEAST_FP16_DB = 30.0
# Photos on which eager's own prediction is no near tie: with fewer, near ties count as well.
LEAST_CLEAR = 8
# Of outputs that are no floats (classes, masks): the share of equal elements, by precision.
EQUAL_THRESHOLDS = {"fp32": 0.999, "fp16": 0.98, "int8": 0.94, "w8a16": 0.97, "w4": 0.94}


def gate(name: str, value: float, threshold: float) -> Gate:
    """Return a gate that has passed if the value reaches the threshold."""
    return Gate(name=name, value=value, threshold=threshold, passed=value >= threshold)


def is_float(outputs: Sequence[Outputs], name: str) -> bool:
    """Whether an output holds floats."""
    return outputs[0][name].dtype.kind == "f"


def worst_snr_db(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> dict[str, float]:
    """Return by output of floats the worst photo's SNR, in dB."""
    return {
        name: min(
            snr_db(reference[name].astype(np.float64), found[name].astype(np.float64))
            for reference, found in zip(references, outputs, strict=True)
        )
        for name in references[0]
        if is_float(references, name)
    }


def pooled_snr_db(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> dict[str, float]:
    """Return by output of floats the SNR over all photos together, in dB."""
    return {
        name: snr_db(_pooled(references, name), _pooled(outputs, name))
        for name in references[0]
        if is_float(references, name)
    }


def _pooled(outputs: Sequence[Outputs], name: str) -> np.ndarray:
    return np.concatenate([each[name].astype(np.float64).ravel() for each in outputs])


def equal_shares(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> dict[str, float]:
    """Return by output that holds no floats the share of elements that are equal."""
    return {
        name: float(
            np.mean(
                [
                    np.mean(reference[name] == found[name])
                    for reference, found in zip(references, outputs, strict=True)
                ]
            )
        )
        for name in references[0]
        if not is_float(references, name)
    }


def agreement(
    task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
) -> tuple[float, int]:
    """Return the mean agreement of the predictions, 0 to 1, and how many near ties of eager's were
    left out of it: in fp32 none, and none where fewer than `LEAST_CLEAR` photos would remain."""
    pairs = list(zip(references, outputs, strict=True))
    clear = [pair for pair in pairs if precision == "fp32" or task.is_clear(pair[0])]
    counted = clear if len(clear) >= LEAST_CLEAR else pairs
    share = sum(task.agrees(reference, found) for reference, found in counted) / len(counted)
    return share, len(pairs) - len(counted)


def accuracy(task: Task, outputs: Sequence[Outputs], labels: Sequence[int]) -> float | None:
    """Return the share of photos whose prediction is their label's, in per cent; None where the
    task has no labels of images."""
    right = [task.is_right(found, label) for found, label in zip(outputs, labels, strict=True)]
    if any(each is None for each in right):
        return None
    return 100 * sum(map(bool, right)) / len(right)


def max_abs_error(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> float:
    """Return the largest absolute difference in any output of any photo (infinite: 1e300)."""
    worst = max(
        float(
            np.abs(reference[name].astype(np.float64) - found[name].astype(np.float64)).max(
                initial=0.0
            )
        )
        for reference, found in zip(references, outputs, strict=True)
        for name in reference
    )
    return worst if math.isfinite(worst) else 1e300


def metric(runtime: str, output: str, name: str, outputs: Mapping[str, object]) -> str:
    """Return a gate's name: `ort.snr_db`, or `ort.low.snr_db` where there are several outputs."""
    return f"{runtime}.{name}" if len(outputs) == 1 else f"{runtime}.{output}.{name}"


def placement_gates(runtime: str, placement: Mapping[str, int]) -> list[Gate]:
    """Return the gate that all operations ran on the runtime's accelerator, where it has one."""
    accelerator = RUNTIMES[runtime].accelerator
    if accelerator is None:
        return []
    share = placement.get(accelerator, 0) / max(1, sum(placement.values()))
    return [gate(f"{runtime}.on_{accelerator.lower()}", share, 1.0)]
