"""Every device in one table: what was measured, estimated or only verified there.

Each row states which of the three it is: measured speedups have an interval, a vendor's estimate is
marked as one, and an emulator gives decibels and no time at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lolvit.manifest import Artifact
from lolvit.verification import VerificationDocument
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.text import Grid
from lolvit_benchmarks.results.document import Document, Estimate, Failure, Result

EMULATED = frozenset({"qnn-emulator", "arm64"})  # verification without a time
_EMPTY = "–"
_NOTE = (
    "Milliseconds are medians. Measured: the speedup has its 95 % interval. Estimate: by a "
    "vendor's tool, nothing was run. Verified: the artifact's logits against eager PyTorch, the "
    "worst photo's decibels; an emulator has no time."
)
_HEADINGS = (
    "device",
    "what",
    "candidate",
    "baseline",
    "speedup",
    "source",
    "runs on",
    "remark",
)


def grid(
    documents: Sequence[Document], verified: Sequence[VerificationDocument] = ()
) -> Grid | None:
    """Return the table; none where all that is known was measured on this machine alone, which
    other tables show."""
    rows = [row for document in documents for row in _rows(document)]
    rows += [
        _verified(document, artifact) for document in verified for artifact in document.artifacts
    ]
    rows += [_failed_verification(document, one.artifact, one.error)
             for document in verified for one in document.failures]  # fmt: skip
    elsewhere = verified or any(
        document.estimates
        or any(result.device != words.HOST for result in document.results)
        or any(failure.device not in (None, words.HOST) for failure in document.failures)
        for document in documents
    )
    if not elsewhere:
        return None
    return Grid("Every device", _HEADINGS, tuple(rows), left=len(_HEADINGS), note=_NOTE)


def _rows(document: Document) -> Iterator[tuple[str, ...]]:
    yield from map(_measured, document.results, [document] * len(document.results))
    yield from map(_estimated, document.estimates)
    yield from map(_failed, document.failures)


def _measured(result: Result, document: Document) -> tuple[str, ...]:
    candidate, baseline = result.models
    found = [one.text for one in (*result.quality.reasons, *result.quality.findings)]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        _device(result, document),
        f"{words.runtime_name(result.runtime)} {result.precision}, "
        f"{words.threads(result.threads)}, {words.size(candidate)}",
        f"{words.named(result, candidate)}: {words.milliseconds(candidate.median_ms)} ms",
        f"{words.named(result, baseline)}: {words.milliseconds(baseline.median_ms)} ms",
        f"{words.factor(result.speedup.ratio)} ({words.interval(result.speedup)})",
        f"measured, {words.quality(result)}",
        _both_places(result.placement.candidate, result.placement.baseline),
        f"{found[0]}{more}" if found else "",
    )


def _device(result: Result, document: Document) -> str:
    info = result.device_info
    if info is None:
        return f"{result.device}: {document.environment.cpu or document.environment.architecture}"
    return f"{info.id}: {info.name}{' (in software)' if info.software else ''}"


def _estimated(estimate: Estimate) -> tuple[str, ...]:
    candidate, baseline = estimate.candidate, estimate.baseline
    return (
        f"{estimate.device.id}: {estimate.device.name}",
        f"{estimate.runtime} {estimate.precision}, {candidate.size[0]}x{candidate.size[1]}",
        f"{candidate.model}: {words.milliseconds(candidate.ms)} ms",
        f"{baseline.model}: {words.milliseconds(baseline.ms)} ms",
        words.factor(estimate.ratio),
        "estimate",
        _both_places(candidate.placement, baseline.placement),
        " ".join(estimate.notes),
    )


def _failed(failure: Failure) -> tuple[str, ...]:
    what = " ".join(filter(None, (failure.runtime, failure.precision)))
    model = failure.model or _EMPTY
    device = failure.device or words.HOST
    return (device, what or _EMPTY, model, _EMPTY, _EMPTY, "no result", _EMPTY, failure.what)


def _verified(document: VerificationDocument, artifact: Artifact) -> tuple[str, ...]:
    size = "x".join(map(str, document.size))
    found = {gate.name: gate.value for gate in artifact.gates}
    decibels = [f"{value:.1f} dB" for name, value in found.items() if name.endswith(".snr_db")]
    shares = [f"{value:.0%} {name.partition('.on_')[2].upper()}"
              for name, value in found.items() if ".on_" in name]  # fmt: skip
    return (
        document.device,
        f"{artifact.path}, {size}",
        f"{document.model}: {', '.join(decibels) or _EMPTY}",
        _EMPTY,
        _EMPTY,
        "emulated: verified" if document.device in EMULATED else "verified",
        ", ".join(shares) or "not reported",
        "; ".join(artifact.failed_gates()) or "all gates passed",
    )


def _failed_verification(
    document: VerificationDocument, artifact: str, error: str
) -> tuple[str, ...]:
    return (document.device, artifact, document.model, _EMPTY, _EMPTY, "no result", _EMPTY, error)


def _both_places(candidate: Mapping[str, int], baseline: Mapping[str, int]) -> str:
    one, other = place(candidate), place(baseline)
    return one if one == other else f"{one}; {other}"


def place(placement: Mapping[str, int]) -> str:
    """Return where operations run, in shares: `100 % HTP`."""
    total = sum(placement.values())
    if not total:
        return "not reported"
    parts = sorted(placement.items(), key=lambda item: -item[1])
    return ", ".join(f"{count / total:.0%} {name}" for name, count in parts if count)
