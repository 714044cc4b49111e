"""Estimates of one model against another by Qualcomm's compiler, as a device of `lolvit bench`.

Run as a module, with an artifact and a SoC, it prints one JSON document with the estimate of that
artifact, read from the compiler's profile: compiling is native code, so that it has a process of
its own.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.manifest import Precision
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.backends.registry import QNN_ESTIMATE
from lolvit_benchmarks.harness.candidates import Configuration
from lolvit_benchmarks.harness.child import answer, run_module
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo, Estimate, ModelEstimate
from lolvit_runtimes.native import opening
from lolvit_runtimes.ort import RUNTIME_ERRORS
from lolvit_runtimes.probe import installed
from lolvit_runtimes.qnn_provider import fallback_operations, placement_of, qnn_session
from lolvit_runtimes.qnn_socs import Soc, find_soc, unsupported_reason

_TIME = re.compile(r"^Simulated \(Accelerator exec time us(?: \((lower|upper) estimate\))?\)$")
_PROFILE = "profile.csv"
_SOURCE = "Qualcomm's HTP compiler: its estimate of the time on the accelerator, of nothing else"
_UNTRAINED = "Weights are untrained: estimates follow the architecture, and no accuracy is claimed."


@dataclass(frozen=True)
class CompilerEstimate:
    """Milliseconds of one inference as the compiler estimates them, with its bounds, and how many
    operations are on HTP and elsewhere."""

    ms: float
    lower_ms: float
    upper_ms: float
    placement: dict[str, int]


def estimate(path: Path, soc: Soc) -> CompilerEstimate:
    """Compile a portable artifact for an SoC, and return the compiler's estimate.

    Raises:
        DeviceError: HTP does not take every operation, or there is no estimate for the SoC.
    """
    with tempfile.TemporaryDirectory() as scratch:
        profile = Path(scratch) / _PROFILE
        options = {"profiling_level": "detailed", "profiling_file_path": str(profile)}
        with opening("Qualcomm's HTP compiler", path, RUNTIME_ERRORS):
            session = qnn_session(path, soc, options=options, fallback=True)
        if left := fallback_operations(session):  # what is estimated is then a part of the model
            raise DeviceError(f"HTP does not take {left[0]}", where=str(path))
        placement = placement_of(session)
        del session
        times = read_times(profile.read_text().splitlines()) if profile.exists() else {}
    if set(times) != {"", "lower", "upper"}:
        raise DeviceError(f"Qualcomm's compiler gives no estimate for {soc.name}", where=str(path))
    return CompilerEstimate(times[""], times["lower"], times["upper"], placement)


def read_times(lines: Iterable[str]) -> Mapping[str, float]:
    """Return the estimates of a profile in milliseconds: "" is the estimate itself, `lower` and
    `upper` its bounds. Of several graphs the last one counts; empty where there is no
    estimate."""
    found: dict[str, float] = {}
    for row in csv.DictReader(lines):
        match = _TIME.match(row.get("Event Identifier") or "")
        if match:
            found[match[1] or ""] = float(row["Time"]) / 1000
    return found


@dataclass
class QnnEstimate:
    """Chips that Qualcomm's compiler estimates times for."""

    id: str
    socs: tuple[Soc, ...]

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: nothing is run, and threads, profile and photo have no effect."""
        cases = dict.fromkeys((each.runtime, _precision(each)) for each in job.configurations)
        for models, (runtime, precision), soc in itertools.product(job.groups, cases, self.socs):
            reason = unsupported_reason(soc, precision)
            if reason is not None and len(self.socs) > 1:  # the other chips are estimated
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


def _precision(configuration: Configuration) -> Precision:
    """Return a configuration's precision.

    Raises:
        UserError: it is `best`, which is found by measuring alone.
    """
    if configuration.precision == result.BEST:
        raise UserError(
            "has no best precision: nothing is measured",
            where=QNN_ESTIMATE,
            remedy="give --precision fp16,int8,w8a16, or some of them",
        )
    return configuration.precision


def _estimates(models: Models, precision: Precision, soc: Soc) -> Sequence[Estimate]:
    reason = unsupported_reason(soc, precision)
    if reason is not None:
        raise DeviceError(reason)
    first, *others = [_estimated(name, prepared, precision, soc) for name, prepared in models]
    return [_estimate(first, other, precision, soc) for other in others]


@dataclass(frozen=True)
class _Estimated:
    model: ModelEstimate
    bounds: str
    failed: list[str]


def _estimated(name: str, prepared: Prepared, precision: str, soc: Soc) -> _Estimated:
    artifact, manifest = prepared.artifact("qnn", precision), prepared.manifest
    document = run_module(
        "lolvit_benchmarks.backends.qnn_estimates",
        [str(prepared.folder / artifact.path), soc.id],
        what=f"the estimate of {name}",
    )
    found = CompilerEstimate(**document)
    model = ModelEstimate(
        model=name,
        size=manifest.size,
        params=manifest.params,
        macs=manifest.macs,
        trained=manifest.weights.trained,
        artifact=artifact.path,
        artifact_sha256=artifact.sha256,
        ms=found.ms,
        placement=found.placement,
    )
    bounds = f"{name} {found.lower_ms:.3g} to {found.upper_ms:.3g} ms"
    return _Estimated(model, bounds, artifact.failed_gates())


def _estimate(
    candidate: _Estimated, baseline: _Estimated, precision: Precision, soc: Soc
) -> Estimate:
    both = (candidate, baseline)
    hexagon = {"hexagon": f"v{soc.hexagon}"} if soc.hexagon else {}
    bounds = ", ".join(one.bounds for one in both)
    notes = [f"The compiler's own bounds, {soc.name} in {precision}: {bounds}."]
    if not all(one.model.trained for one in both):
        notes.append(_UNTRAINED)
    notes += [f"{one.model.model} fails its gate: {line}." for one in both for line in one.failed]
    return Estimate(
        device=DeviceInfo(
            id=f"{QNN_ESTIMATE}:{soc.id}", kind="npu", name=soc.name, software=False,
            details={"soc": soc.id, "soc_model": str(soc.model), **hexagon},
        ),
        runtime="qnn",
        runtime_version=installed("onnxruntime-qnn") or "unknown",
        source=_SOURCE,
        precision=precision,
        candidate=candidate.model,
        baseline=baseline.model,
        ratio=baseline.model.ms / candidate.model.ms,
        notes=tuple(notes),
    )  # fmt: skip


if __name__ == "__main__":
    code = answer(lambda: asdict(estimate(Path(sys.argv[1]), find_soc(sys.argv[2]))))
    sys.stdout.flush()
    os._exit(code)  # native libraries may crash while they unload, which no longer matters
