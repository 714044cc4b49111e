"""From verified artifacts to verified quantized ones, each with its plan beside it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import UserError
from lolvit.manifest import Artifact, Preprocessing, Quantization, Signature
from lolvit.output import Finished
from lolvit.tasks import Task
from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.evaluator import Evaluator
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan, plan_path, read_plan, write_plan
from lolvit_export.quantization.quantizer import Quantizer
from lolvit_export.quantization.search import NO_THRESHOLDS, Thresholds, search, search_ranges
from lolvit_export.quiet import quiet
from lolvit_export.targets import Target, find_target, runtimes_for
from lolvit_export.verification.reference import ReferenceData
from lolvit_export.verification.verifiers import ACCURACY_CHANGE_THRESHOLD, Verifiers

# Above the thresholds of the gates, which other images decide than the search does.
_SNR_MARGIN_DB, _AGREEMENT_MARGIN = 1.0, 0.02
TIMED_S = 3.0  # for the figure that the manifest has


@dataclass(frozen=True)
class QuantizationJob:
    """What all quantized artifacts of one export share.

    With `for_timing` the search takes the fastest candidate, however far from eager: random weights
    lose more than trained ones, and with layers in float for their sake an artifact is no measure
    of what a trained network's takes. Its gates are measured as always.
    """

    folder: Path
    signature: Signature
    task: Task
    images: Images
    preprocessing: Preprocessing
    tuning: ReferenceData
    held_out: ReferenceData
    plans: Sequence[Plan]
    verifiers: Verifiers
    for_timing: bool = False

    def quantize(
        self,
        base: Artifact,
        precision: str,
        say: Callable[[str], None],
        *,
        compared: Artifact | None = None,
    ) -> Artifact:
        """Search, or follow the plan that the user gave, then verify and time the result, against
        `compared`: the artifact in floats that is shipped, `base` itself by default.

        Raises:
            UserError: the plan does not fit the model; the format's tools can't do it here.
            DeviceError: a runtime refused an artifact.
        """
        target = find_target(base.format)
        path = self.folder / target.file_name(precision)
        say(f"quantize {path.name}: calibrate on {len(self.images.calibration)} images")
        with quiet():
            quantizer = self._quantizer(target, base, precision)
        floats = compared or base
        evaluator = Evaluator(
            self.folder / floats.path, floats, self.signature, self.task, self.tuning
        )
        with closing(evaluator):
            candidates = Candidates(quantizer, evaluator, target, precision, path)
            plan = self._given(candidates) or self._searched(
                candidates, target, lambda found: say(Finished(f"{path.name}: {found}"))
            )
            artifact = candidates.write(plan, path)
            measurements = {"size_fp32": artifact.bytes / floats.bytes}
            say(f"time and verify {path.name}")
            speed = evaluator.speed(path, artifact, TIMED_S)
        if speed is not None:
            measurements[f"{evaluator.runtime}.speedup_vs_fp32"] = speed
        beside = plan_path(path)
        write_plan(beside, plan)
        recorded = Quantization(plan=beside.name, calibration=self.images.source)
        described = {"measurements": measurements, "quantization": recorded}
        return self.verify(path, artifact.model_copy(update=described))

    def _quantizer(self, target: Target, base: Artifact, precision: str) -> Quantizer:
        reference = target.precisions[precision].quantizer
        assert reference is not None
        quantizer_class: Any = pkgutil.resolve_name(reference)
        quantizer: Quantizer = quantizer_class(
            self.folder / base.path, base, self.images, self.preprocessing, precision
        )
        return quantizer

    def verify(self, path: Path, artifact: Artifact) -> Artifact:
        """Return a quantized artifact with its gates on the held-out images.

        Raises:
            DeviceError: a runtime refused it.
        """
        return self.verifiers.verify(path, artifact, self.signature, self.task, self.held_out)

    def _searched(self, candidates: Candidates, target: Target, say: Callable[[str], None]) -> Plan:
        if target.fully_quantized:
            return search_ranges(candidates, say)
        if self.for_timing:
            say("for timing: the fastest is taken, whatever its accuracy")
            return search(candidates, NO_THRESHOLDS, say).model_copy(update={"for_timing": True})
        return search(candidates, self._thresholds(target, candidates.precision), say)

    def _thresholds(self, target: Target, precision: str) -> Thresholds:
        runtime = runtimes_for(target.name)[0]
        agreed = self.task.agreement_thresholds.get(precision, 0.0)
        return Thresholds(
            target.threshold(precision, runtime) + _SNR_MARGIN_DB,
            agreed + _AGREEMENT_MARGIN if self.task.agreement else 0.0,
            ACCURACY_CHANGE_THRESHOLD,
        )

    def _given(self, candidates: Candidates) -> Plan | None:
        """Return the user's plan for this target and precision, or None."""
        wanted = candidates.format, candidates.precision
        return next((p for p in self.plans if (p.format, p.precision) == wanted), None)


def read_plans(
    paths: Sequence[Path], formats: Sequence[str], precisions: Sequence[str]
) -> list[Plan]:
    """Read the plans of `--plan`.

    Raises:
        UserError: one can't be read, nothing that is exported follows it, or two are of one
            artifact.
    """
    plans: list[Plan] = []
    for path in paths:
        plan = read_plan(path)
        if plan.format not in formats or plan.precision not in precisions:
            raise UserError(
                f"is a plan for {plan.format} in {plan.precision}, which is not exported",
                where=str(path),
                remedy=f"add --to {plan.format} --precision {plan.precision}",
            )
        if any((p.format, p.precision) == (plan.format, plan.precision) for p in plans):
            raise UserError(
                f"is a second plan for {plan.format} in {plan.precision}",
                where=str(path),
                remedy="leave one out",
            )
        plans.append(plan)
    return plans
