"""What gates say of an artifact, in sentences, and what to try next where one failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from lolvit.manifest import Artifact, Gate
from lolvit_export.photos import VERIFICATION
from lolvit_export.verification.comparison import CONSTANT_SNR, EAGER_SNR, LARGEST_DB, LARGEST_HALF

AFTER_QUANTIZING = (
    "quantize trained weights (--weights), calibrated on the images that they were trained on"
    " (--calibrate); if that is done already, fine-tune with --recipe int8"
)
AFTER_QUANTIZING_RANDOM = (
    "random weights lose more accuracy when quantized than trained ones: give trained weights"
    " (--weights), or add --for-timing if the artifacts are only benchmarked"
)
_OVERFLOW = (
    "use fp32 or int8, or scale the layer's weights down: on a phone's GPU or NPU the activation"
    " would be infinite"
)
_OFF_ACCELERATOR = "lolvit lint names the operations that the accelerator does not support"
_HARDLY_DEPENDS = (
    "its outputs depend on the image by less than this precision resolves (the same outputs for"
    " every image would agree to {:.1f} dB): load trained weights, or leave out this precision"
)
_AMPLIFIES_ROUNDING = (
    "eager PyTorch itself reaches {:.1f} dB in this precision: the network amplifies rounding, as"
    " random weights may make it; load trained weights (--weights), leave out this precision, or"
    " add --for-timing if the artifacts are only benchmarked"
)
_OTHER_COMPUTATION = (
    "add --no-rewrites, to see whether a rewrite is the cause, and --keep-failed, to look into the"
    " file; if only this format fails, report it with the model"
)


def sentences(artifact: Artifact) -> list[str]:
    """Return one sentence for each runtime that an artifact was verified in: what its gates say."""
    by_runtime = groupby(artifact.gates, key=_runtime)
    return [
        f"{runtime}: {'; '.join(_clause(gate, artifact) for gate in gates)}"
        for runtime, gates in by_runtime
    ]


def advice(artifact: Artifact, *, quantized: bool, trained: bool) -> str:
    """Return what to try next, for an artifact that failed a gate."""
    failed = {_kind(gate) for gate in artifact.gates if not gate.passed}
    if "fp16_headroom" in failed:
        return _OVERFLOW
    if any(kind.startswith("on_") for kind in failed):
        return _OFF_ACCELERATOR
    constant = [
        artifact.measurements.get(f"{gate.name.rpartition('.')[0]}.{CONSTANT_SNR}")
        for gate in artifact.gates
        if _kind(gate) == "snr_db" and not gate.passed
    ]
    if constant and None not in constant:
        return _HARDLY_DEPENDS.format(max(filter(None, constant)))
    if eager := _values(artifact, EAGER_SNR):
        return _AMPLIFIES_ROUNDING.format(min(eager))
    if quantized:
        return AFTER_QUANTIZING if trained else AFTER_QUANTIZING_RANDOM
    return _OTHER_COMPUTATION


def _values(artifact: Artifact, measurement: str) -> list[float]:
    return [
        value
        for name, value in artifact.measurements.items()
        if name.rpartition(".")[2] == measurement
    ]


def _runtime(gate: Gate) -> str:
    return gate.name.partition(".")[0]


def _kind(gate: Gate) -> str:
    return gate.name.rpartition(".")[2]


def _output(gate: Gate) -> str:
    """Return the output's name of a gate that is one of several of its kind, or ""."""
    return ".".join(gate.name.split(".")[1:-1])


def _clause(gate: Gate, artifact: Artifact) -> str:
    kind = _kind(gate)
    if kind.endswith("_change") and kind in _CHANGES:
        return _change(gate, artifact)
    if kind.startswith("on_"):
        return _placement(gate)
    known = _CLAUSES.get(kind)
    if known is not None:
        return known(gate, artifact)
    return f"{kind} {gate.value:.4g} {_against(gate, '{:.4g}'.format)}"


def _against(gate: Gate, shown: Callable[[float], str], missed: str | None = None) -> str:
    """Return a gate's threshold in brackets, with what is missing where it failed."""
    if gate.passed:
        return f"(threshold {shown(gate.threshold)})"
    by = missed or shown(gate.threshold - gate.value)
    return f"(threshold {shown(gate.threshold)}, missed by {by})"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _share(gate: Gate) -> str:
    """Return the threshold of a share, nothing where the share is 1: it can't be larger."""
    if gate.value >= 1 and gate.passed:
        return ""
    missing = f"{100 * (gate.threshold - gate.value):.3g} points"
    return f" {_against(gate, _percent, missing)}"


def _decibels(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _snr(gate: Gate, artifact: Artifact) -> str:
    name = f"output {output} " if (output := _output(gate)) else ""
    if gate.value >= LARGEST_DB:
        return f"{name}equals PyTorch's to the last bit"
    if gate.value <= -LARGEST_DB:
        return f"{name}is not finite, or nothing like PyTorch's"
    missing = f"{_decibels(gate.threshold - gate.value)} dB"
    return f"{name}agrees with PyTorch to {gate.value:.1f} dB {_against(gate, _decibels, missing)}"


def _snr_change(gate: Gate, artifact: Artifact) -> str:
    name = f" of {output}" if (output := _output(gate)) else ""
    return f"{gate.value:+.1f} dB{name} since the export {_against(gate, '{:g} dB'.format)}"


def _equal(gate: Gate, artifact: Artifact) -> str:
    name = f" of {output}" if (output := _output(gate)) else ""
    return f"{_percent(gate.value)}{name} equal to PyTorch's{_share(gate)}"


def _top_class(gate: Gate, artifact: Artifact) -> str:
    near_ties = int(artifact.measurements.get(f"{_runtime(gate)}.near_ties", 0))
    left_out = f", {near_ties} near ties left out" if near_ties else ""
    if artifact.quantization is not None:
        share = _percent(gate.value)
        return f"same top class on {share} of the held-out images{left_out}{_share(gate)}"
    photos = len(VERIFICATION) - near_ties
    same = round(gate.value * photos)
    return f"same top class on {same} of {photos} photos{left_out}{_share(gate)}"


def _headroom(gate: Gate, artifact: Artifact) -> str:
    if gate.passed:
        return f"the largest activation is {gate.value:,.0f} times below half precision's limit"
    largest = LARGEST_HALF / gate.value
    limit = f"{LARGEST_HALF:,.0f}"
    return f"an activation of {largest:,.0f} overflows half precision, whose limit is {limit}"


def _placement(gate: Gate) -> str:
    accelerator = _kind(gate).removeprefix("on_").upper()
    return f"{_percent(gate.value)} of the operations ran on the {accelerator}{_share(gate)}"


def _change(gate: Gate, artifact: Artifact) -> str:
    kind = _kind(gate)
    eager = artifact.measurements.get(f"eager.{kind.removesuffix('_change')}_accuracy")
    of_eager = f" PyTorch's {eager:.4g} %" if eager is not None else " PyTorch's"
    where = "above" if gate.value > 0 else "below"
    by = f"{abs(gate.value):.2g} points {where}" if gate.value else "equal to"
    return f"{_CHANGES[kind]} {by}{of_eager} {_against(gate, '{:.2g} points'.format)}"


def _of(what: str) -> Callable[[Gate, Artifact], str]:
    """Return the clause of a share, such as "93.8 % of the detections are PyTorch's"."""
    return lambda gate, artifact: f"{_percent(gate.value)} {what}{_share(gate)}"


def _worst_class(gate: Gate, artifact: Artifact) -> str:
    missing = f"{_decibels(gate.threshold - gate.value)} dB"
    return f"the worst class to {gate.value:.1f} dB {_against(gate, _decibels, missing)}"


_CHANGES = {"top1_change": "top-1 accuracy", "ap_change": "AP", "miou_change": "mean IoU"}
_CLAUSES: dict[str, Callable[[Gate, Artifact], str]] = {
    "snr_db": _snr,
    "snr_change": _snr_change,
    "worst_class_snr_db": _worst_class,
    "equal": _equal,
    "top1": _top_class,
    "matched_detections": _of("of the detections are PyTorch's"),
    "pixel_agreement": _of("of the pixels have PyTorch's class"),
    "miou": _of("mean IoU with PyTorch's map"),
    "worst_class_recall": _of("of the worst class found again"),
    "fp16_headroom": _headroom,
}


def verdict(artifact: Artifact, withheld: Sequence[Artifact]) -> str:
    """Return the word of a table for an artifact: passed, withheld or failed."""
    if artifact in withheld:
        return "WITHHELD"
    return "FAILED" if artifact.failed_gates() else "passed"


def runtimes_of(artifact: Artifact) -> list[str]:
    """Return the runtimes that an artifact was verified in; eager PyTorch is none of them."""
    return [name for name in dict.fromkeys(map(_runtime, artifact.gates)) if name != "eager"]
