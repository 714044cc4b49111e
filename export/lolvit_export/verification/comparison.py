"""Metrics and gates that compare an artifact's outputs with eager PyTorch's, in numpy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lolvit.manifest import Gate
from lolvit.tasks import Agreement, Array, Outputs, Task
from lolvit_runtimes.snr import full_scale_snr_db, snr_db
from lolvit_runtimes.table import RUNTIMES

# An artifact's SNR may be this much below that of eager PyTorch in the same precision, in dB, and
# half precision has a minimum. Converters round weights and sums in other places than eager does,
# and kernels add in another order on each kind of processor: in fp32 an untrained LOLViT-XX of 32
# pixels is 8.4 dB worse than eager in ONNX Runtime on a Xeon with AMX, other untrained networks 4.6
# dB or less. Good fp16 artifacts of EfficientNet-Lite0, trained on ImageNet, are 1.6 to 3.4 dB
# worse, one of torchvision's mobilenet_v3_small, untrained, 6.4 dB.
NOISE_MARGIN_DB = {"fp32": 10.0, "fp16": 10.0}
MIN_FP16_SNR_DB = 30.0
# Below that minimum, where eager's own half precision is near it or below, an artifact may be this
# much worse: timm's mobileone_s0, untrained, has 22.5 dB in eager and 27.9 dB in ONNX.
NEAR_MINIMUM_MARGIN_DB = 6.0
# Nothing that is worse than this passes, however coarse eager's own arithmetic is: timm's
# halonet_h1, untrained, has 5 dB in eager float32, as each block's attention amplifies rounding.
USELESS_SNR_DB = 10.0
LARGEST_DB = 300.0
CONSTANT_SNR = "constant_snr_db"  # the measurement of the same outputs for every image
EAGER_SNR = "eager_snr_db"  # the measurement of eager PyTorch in the precision, where it is low
LARGEST_HALF = 65504.0  # the largest finite number of half precision
_LEAST_CLASS_ENERGY = 0.1  # of the mean class's
_LEAST_FOUND_ENERGY = 1.0  # a class with less counts as one object of full score
_LEAST_SCORE = 1e-4  # smaller ones are equal
_BACKGROUND_SCORE = 0.1  # lower ones are far from any threshold that apps use
# Thresholds of outputs of integer or bool dtype (classes, masks): the fraction of equal elements.
EQUAL_THRESHOLDS = {"fp32": 0.999, "fp16": 0.98, "int8": 0.94, "w8a16": 0.97, "w4": 0.94}


def gate(name: str, value: float, threshold: float) -> Gate:
    """Return a gate; it passes if the value is at least the threshold."""
    return Gate(name=name, value=value, threshold=threshold, passed=value >= threshold)


def is_float(outputs: Sequence[Outputs], name: str) -> bool:
    """Whether an output has a float dtype."""
    return outputs[0][name].dtype.kind == "f"


def worst_snr_db(
    references: Sequence[Outputs], outputs: Sequence[Outputs], scores: Collection[str] = ()
) -> dict[str, float]:
    """Return for each float output the worst photo's SNR, in dB.

    That of `scores`, outputs from 0 to 1, is relative to their full scale.
    """
    return {
        name: min(
            _snr_db(reference[name], found[name], name in scores)
            for reference, found in zip(references, outputs, strict=True)
        )
        for name in references[0]
        if is_float(references, name)
    }


def pooled_snr_db(
    references: Sequence[Outputs], outputs: Sequence[Outputs], scores: Collection[str] = ()
) -> dict[str, float]:
    """Return for each float output the SNR pooled over all photos, in dB; that of `scores` as in
    `worst_snr_db`."""
    return {
        name: _snr_db(_pooled(references, name), _pooled(outputs, name), name in scores)
        for name in references[0]
        if is_float(references, name)
    }


def _snr_db(reference: Array, found: Array, of_full_scale: bool) -> float:
    expected, given = reference.astype(np.float64), found.astype(np.float64)
    return (full_scale_snr_db if of_full_scale else snr_db)(expected, given)


def mean_outputs(references: Sequence[Outputs]) -> list[Outputs]:
    """Return for each photo the mean of the float outputs over all photos: what a model that does
    not look at its image gives at best."""
    names = [name for name in references[0] if is_float(references, name)]
    mean = {name: _mean(references, name) for name in names}
    return [mean] * len(references)


def _mean(references: Sequence[Outputs], name: str) -> Array:
    stacked = np.stack([each[name].astype(np.float64) for each in references])
    mean: Array = stacked.mean(0)
    return mean


def worst_class_snr_db(
    references: Sequence[Outputs], outputs: Sequence[Outputs], scores: Collection[str] = ()
) -> float | None:
    """Return the SNR over all photos of the one class where it is the lowest, in dB; None unless
    there are `scores`, or one output (1, classes, ...).

    Logits (1, classes) are compared as they are. Of maps and points, which are background for the
    most part, a class is compared about its own mean, scores as log-odds: of a dead class, or of
    another class's values, the noise is then as large as the signal, also where nothing was found.
    A class with nearly no signal counts as if it had a tenth of the mean energy.
    """
    names = [*scores] or ([*references[0]] if len(references[0]) == 1 else [])
    if not names or references[0][names[0]].ndim < 2:
        return None
    name = names[0]
    expected, found = (
        np.stack([_by_class(each[name], name in scores) for each in one])
        for one in (references, outputs)
    )  # (photos, classes, points)
    if references[0][name].ndim > 2:
        mean = expected.mean((0, 2), keepdims=True)
        expected, found = expected - mean, found - mean
    signal = np.square(expected).sum((0, 2))
    signal = np.maximum(signal, _LEAST_CLASS_ENERGY * signal.mean())
    return _worst_ratio_db(signal, np.square(found - expected).sum((0, 2)))


def worst_found_class_snr_db(
    references: Sequence[Outputs], outputs: Sequence[Outputs], name: str
) -> float | None:
    """Return the SNR over all photos of the one class's scores, (1, classes, points), where it is
    the lowest, in dB, of the points where eager's or the artifact's are above the background; None
    where none are.

    Nearly all points are background, so that the SNR of all scores together, or of a class's
    log-odds, hardly shows that a rare class is no longer found.
    """
    expected, found = (
        np.stack([_rows(each[name]) for each in one]) for one in (references, outputs)
    )  # (photos, classes, points)
    above = ~(np.maximum(expected, found) < _BACKGROUND_SCORE)  # NaN too
    if not above.any():
        return None
    signal = np.square(expected, where=above, out=np.zeros_like(expected)).sum((0, 2))
    noise = np.square(found - expected, where=above, out=np.zeros_like(expected)).sum((0, 2))
    return _worst_ratio_db(np.maximum(signal, _LEAST_FOUND_ENERGY), noise)


def _worst_ratio_db(signal: np.ndarray, noise: np.ndarray) -> float:
    """Return the lowest ratio of the classes' energies, in dB."""
    if not np.isfinite(noise).all():
        return -LARGEST_DB
    ratio = np.maximum(signal, 1e-300) / np.maximum(noise, 1e-300)
    return float(np.clip(10 * np.log10(ratio.min()), -LARGEST_DB, LARGEST_DB))


def _rows(values: Array) -> npt.NDArray[np.float64]:
    """Return an output (1, classes, ...) as float64 (classes, points)."""
    return values.astype(np.float64).reshape(values.shape[1], -1)


def _by_class(values: Array, are_scores: bool) -> npt.NDArray[np.float64]:
    """Return an output (1, classes, ...) as float64 (classes, points), scores as log-odds."""
    array = _rows(values)
    if not are_scores:
        return array
    inside = np.clip(array, _LEAST_SCORE, 1 - _LEAST_SCORE)
    return np.log(inside / (1 - inside))


def _pooled(outputs: Sequence[Outputs], name: str) -> np.ndarray:
    return np.concatenate([each[name].astype(np.float64).ravel() for each in outputs])


def equal_fractions(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> dict[str, float]:
    """Return for each output that is not float the fraction of equal elements, 0 to 1."""
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


def agreement_gates(runtime: str, task: Task, found: Agreement, precision: str) -> list[Gate]:
    """Return the gates of the agreement of predictions; none where it has no value."""
    if task.agreement is None or found.value is None:
        return []
    threshold = task.agreement_thresholds[precision]
    if found.images is not None and precision != "fp32":  # one that differs may be chance
        threshold = min(threshold, 1 - 1 / found.images)
    return [
        gate(f"{runtime}.{task.agreement}", found.value, threshold),
        *(gate(f"{runtime}.{each.name}", each.value, each.threshold) for each in found.others),
    ]


def max_abs_error(references: Sequence[Outputs], outputs: Sequence[Outputs]) -> float:
    """Return the largest absolute difference over all outputs and photos; 1e300 if not finite."""
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


def gate_name(runtime: str, output: str, name: str, outputs: Mapping[str, object]) -> str:
    """Return a gate's name: `ort.snr_db`, or `ort.OUTPUT.snr_db` if there are several outputs."""
    return f"{runtime}.{name}" if len(outputs) == 1 else f"{runtime}.{output}.{name}"


def placement_gates(runtime: str, placement: Mapping[str, int]) -> list[Gate]:
    """Return the gate that all operations ran on the runtime's accelerator, if it has one."""
    accelerator = RUNTIMES[runtime].accelerator
    if accelerator is None:
        return []
    share = placement.get(accelerator, 0) / max(1, sum(placement.values()))
    return [gate(f"{runtime}.on_{accelerator.lower()}", share, 1.0)]
