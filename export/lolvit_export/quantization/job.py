"""From verified fp32 artifacts to verified quantized ones, each with its plan beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from lolvit.errors import UserError
from lolvit.manifest import Artifact, Precision, Preprocess, Quantization
from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.gates import Evidence, verify_quantized
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.judge import Judge
from lolvit_export.quantization.plan import Plan, read_plan, write_plan
from lolvit_export.quantization.precisions import QUANTIZED, QUANTIZERS
from lolvit_export.quantization.search import Thresholds, search, search_ranges
from lolvit_export.quantization.table import open_quantizer
from lolvit_export.quiet import quiet
from lolvit_export.verification.devices import runtimes_for
from lolvit_export.verification.verifiers import SNR_FLOOR, TOP1_FLOOR, Logits, Verifiers

# Above the floors of the gates, which other images decide than the search does.
_SNR_MARGIN_DB, _TOP1_MARGIN = 1.0, 0.02
TIMED_S = 3.0  # for the figure that the manifest has
_SUFFIX = {"onnx": ".onnx", "tflite": ".tflite", "coreml": ".mlpackage", "qnn": "-htp.onnx"}
# Formats that nothing may stay in float of: there the ranges are all that there is to search for.
_WHOLE = frozenset({"qnn"})


@dataclass(frozen=True)
class QuantizationJob:
    """What all quantized artifacts of one export share."""

    folder: Path
    images: Images
    preprocess: Preprocess
    tuning: Sequence[Logits]  # eager's, for images.tuning
    held_out: Sequence[Logits]  # eager's, for images.held_out
    plans: Sequence[Plan]
    verifiers: Verifiers
    trained: bool

    def quantize(
        self, fp32: Artifact, precision: Precision, say: Callable[[str], None]
    ) -> Artifact:
        """Search, or follow the plan that the user gave, then verify and time the result.

        Raises:
            UserError: the plan does not fit the model; the format's tools can't do it here.
            DeviceError: a runtime refused an artifact.
        """
        path = self.folder / f"model-{precision}{_SUFFIX[fp32.format]}"
        say(f"quantize {path.name}: calibrate on {len(self.images.calibration)} images")
        with quiet():
            quantizer = open_quantizer(
                self.folder / fp32.path, fp32, self.images, self.preprocess, precision
            )
        judge = Judge(
            self.folder / fp32.path, fp32, self.images.tuning, self.tuning, self.preprocess
        )
        with closing(judge):
            trials = Candidates(quantizer, judge, fp32.format, precision, path)
            plan = self._given(trials) or self._searched(
                trials, fp32, lambda step: say(f"{path.name}: {step}")
            )
            artifact = trials.write(plan, path)
            measured = {"size_fp32": artifact.bytes / fp32.bytes}
            say(f"time and verify {path.name}")
            speed = judge.speed(path, artifact, TIMED_S)
        if speed is not None:
            measured[f"{judge.runtime}.times_fp32"] = speed
        plan_path = path.with_name(f"{path.name}.plan.json")
        write_plan(plan_path, plan)
        recorded = Quantization(plan=plan_path.name, images=self.images.source)
        artifact = artifact.model_copy(update={"measured": measured, "quantization": recorded})
        return self.verify(path, artifact)

    def verify(self, path: Path, artifact: Artifact) -> Artifact:
        """Return a quantized artifact with its gates on the held-out images.

        Raises:
            DeviceError: a runtime refused it.
        """
        evidence = Evidence(self.images.held_out, self.held_out, self.images.labels, self.trained)
        return verify_quantized(self.verifiers, path, artifact, evidence, self.preprocess)

    def _searched(self, trials: Candidates, base: Artifact, say: Callable[[str], None]) -> Plan:
        if base.format in _WHOLE:
            return search_ranges(trials, say)
        return search(trials, _floors(base, trials.precision), say)

    def _given(self, trials: Candidates) -> Plan | None:
        """Return the user's plan for this format and precision, or None."""
        wanted = trials.format, trials.precision
        return next((p for p in self.plans if (p.format, p.precision) == wanted), None)


def _floors(fp32: Artifact, precision: Precision) -> Thresholds:
    runtime = runtimes_for(fp32.format)[0]
    return Thresholds(
        SNR_FLOOR[runtime, precision] + _SNR_MARGIN_DB, TOP1_FLOOR[precision] + _TOP1_MARGIN
    )


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


def quantized_precisions(format: str, precisions: Sequence[str]) -> list[Precision]:
    """Return those of the precisions that a format is quantized to."""
    has = QUANTIZERS[format][1] if format in QUANTIZERS else ()
    known: tuple[Precision, ...] = get_args(Precision)
    return [p for p in known if p in precisions and p in has and p in QUANTIZED]
