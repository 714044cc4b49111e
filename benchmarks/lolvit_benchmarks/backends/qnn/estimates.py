"""Estimates of one model against another, by Qualcomm's compiler, as a device of `lolvit bench`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.manifest import Precision
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.backends.qnn.profile import CompilerEstimate
from lolvit_benchmarks.backends.registry import QNN_ESTIMATE
from lolvit_benchmarks.harness.candidates import Setting
from lolvit_benchmarks.harness.child import run_module
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo, Estimate, EstimateSide
from lolvit_runtimes.probe import installed
from lolvit_runtimes.qnn_socs import Soc, why_not

_SOURCE = "Qualcomm's HTP compiler: its estimate of the time on the accelerator, of nothing else"
_UNTRAINED = "Weights are untrained: estimates follow the architecture, and no accuracy is claimed."


@dataclass
class QnnEstimate:
    """Chips that Qualcomm's compiler estimates times for."""

    id: str
    socs: tuple[Soc, ...]

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: nothing is run, so that threads, profile and photo have no part."""
        settings = dict.fromkeys((each.runtime, _named(each)) for each in job.settings)
        for models, (runtime, precision), soc in itertools.product(job.groups, settings, self.socs):
            reason = why_not(soc, precision)
            if reason is not None and len(self.socs) > 1:  # the others are what was asked for too
                listener.say(f"{QNN_ESTIMATE}:{soc.id} {precision}: left out, as {reason}")
                continue
            listener.say(f"{QNN_ESTIMATE}:{soc.id} {precision}: estimate, nothing is run")
            try:
                found = _estimates(models, precision, soc)
            except (DeviceError, GateFailedError) as error:
                failure = result.Failure(
                    device=f"{QNN_ESTIMATE}:{soc.id}", runtime=runtime, precision=precision,
                    threads=1, what=error.line(),
                )  # fmt: skip
                keeper.keep(failures=[failure])
            else:
                keeper.keep(estimates=found)


def _named(setting: Setting) -> Precision:
    """Return a setting's precision.

    Raises:
        UserError: it is `best`: which one that is only measuring tells.
    """
    if setting.precision == result.BEST:
        raise UserError(
            "has no best precision: nothing is measured",
            where=QNN_ESTIMATE,
            remedy="give --precision fp16,int8,w8a16, or some of them",
        )
    return setting.precision


def _estimates(models: Models, precision: Precision, soc: Soc) -> Sequence[Estimate]:
    reason = why_not(soc, precision)
    if reason is not None:
        raise DeviceError(reason)
    first, *others = [_side(name, prepared, precision, soc) for name, prepared in models]
    return [_estimate(first, other, precision, soc) for other in others]


@dataclass(frozen=True)
class _Estimated:
    side: EstimateSide
    bounds: str
    failed: list[str]


def _side(name: str, prepared: Prepared, precision: str, soc: Soc) -> _Estimated:
    artifact, manifest = prepared.artifact("qnn", precision), prepared.manifest
    document = run_module(
        "lolvit_benchmarks.backends.qnn.profile",
        [str(prepared.folder / artifact.path), soc.id],
        what=f"the estimate of {name}",
    )
    told = CompilerEstimate(**document)
    side = EstimateSide(
        model=name,
        size=manifest.size,
        params=manifest.params,
        macs=manifest.macs,
        trained=manifest.weights.trained,
        artifact=artifact.path,
        artifact_sha256=artifact.sha256,
        ms=told.ms,
        placement=told.placement,
    )
    bounds = f"{name} {told.lower_ms:.3g} to {told.upper_ms:.3g} ms"
    return _Estimated(side, bounds, artifact.failed_gates())


def _estimate(a: _Estimated, b: _Estimated, precision: Precision, soc: Soc) -> Estimate:
    hexagon = {"hexagon": f"v{soc.hexagon}"} if soc.hexagon else {}
    notes = [f"The compiler's own bounds, {soc.name} in {precision}: {a.bounds}, {b.bounds}."]
    if not (a.side.trained and b.side.trained):
        notes.append(_UNTRAINED)
    notes += [f"{one.side.model} fails its gate: {line}." for one in (a, b) for line in one.failed]
    return Estimate(
        device=DeviceInfo(
            id=f"{QNN_ESTIMATE}:{soc.id}", kind="npu", name=soc.name, software=False,
            details={"soc": soc.id, "soc_model": str(soc.model), **hexagon},
        ),
        runtime="qnn",
        runtime_version=installed("onnxruntime-qnn") or "unknown",
        source=_SOURCE,
        precision=precision,
        a=a.side,
        b=b.side,
        ratio=b.side.ms / a.side.ms,
        notes=tuple(notes),
    )  # fmt: skip
