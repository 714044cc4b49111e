"""Run an artifact in its runtimes on photos and compare it with eager PyTorch in float64.

Each runtime runs in a child process: a crash is reported as one line, and an artifact is verified
while the next one is lowered.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lolvit.manifest import Artifact, Gate, Preprocessing, Signature, by_signature
from lolvit.tasks import Outputs, Task
from lolvit_export.targets import HOST, find_target, runtimes_for
from lolvit_export.verification.comparison import (
    CONSTANT_SNR,
    EAGER_SNR,
    EQUAL_THRESHOLDS,
    MIN_FP16_SNR_DB,
    NEAR_MINIMUM_MARGIN_DB,
    NOISE_MARGIN_DB,
    USELESS_SNR_DB,
    agreement_gates,
    equal_fractions,
    gate,
    gate_name,
    max_abs_error,
    placement_gates,
    pooled_snr_db,
    worst_class_snr_db,
    worst_snr_db,
)
from lolvit_export.verification.reference import ReferenceData
from lolvit_runtimes.preprocessing import Pixels, to_batches, to_input
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES
from lolvit_runtimes.worker.isolated import IsolatedSession, RuntimeProcess

_PYTHON = frozenset({"coreml-reference"})  # runtimes that are written in Python, on torch
# Long timeouts: on a busy machine imports take minutes, and reference kernels are plain loops.
START_SECONDS, RUN_SECONDS = 900.0, 600.0
# Percentage points of accuracy that quantization may lose.
ACCURACY_CHANGE_THRESHOLD = -1.0
# Of half precision: a dead class has 0 dB, good artifacts of trained networks have 30 dB and more,
# those of efficientvit_m2, untrained and ill-conditioned, 5.5 to 8.7.
WORST_CLASS_FP16_DB = 3.0
# Decibels that a quantized artifact may have less than when it was exported.
SNR_CHANGE_THRESHOLD = -1.0


class Verifiers:
    """A pool of child processes that verify artifacts: one per runtime, which runs one artifact at
    a time. Thread-safe.

    `device` is one of `lolvit_export.targets.devices()`. With `own`, for artifacts that this
    process has just written, interpreters written in Python run in this process: they can't crash,
    and a child would import torch again.
    """

    def __init__(self, *, own: bool = False, device: str = HOST) -> None:
        self.device = device
        self._here = _PYTHON if own else frozenset[str]()
        self._children: dict[str, RuntimeProcess] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __enter__(self) -> Verifiers:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    def start(self, target: str) -> None:
        """Start the children of a target's runtimes, and import the runtimes there, in advance."""
        for runtime in set(self.runtimes(target)) - self._here:
            with self._locks[runtime]:
                self._child(runtime, Path(target)).import_ahead(runtime)

    def runtimes(self, target: str) -> tuple[str, ...]:
        """Return the runtimes that verify an artifact of this target."""
        return runtimes_for(target, self.device)

    def verify(
        self,
        path: Path,
        artifact: Artifact,
        signature: Signature,
        task: Task,
        data: ReferenceData,
    ) -> Artifact:
        """Return an artifact with its gates: the SNR in dB of each output, the agreement of the
        task's predictions, and the change of accuracy where the images have labels.

        The SNR of a float artifact is the worst photo's. Quantization noise is random, and an image
        with small outputs has little signal: a quantized artifact's gate is the SNR pooled over all
        images, and the worst image's is a measurement. In half precision there is also the headroom
        of eager's activations: processors that compute in float32 show no overflow.

        Raises:
            DeviceError: a runtime can't open or run the artifact.
        """
        quantized = artifact.quantization is not None
        gates: list[Gate] = []
        measurements = dict(artifact.measurements) if quantized else {}
        for runtime in self.runtimes(artifact.format):
            subset = data.first(RUNTIMES[runtime].verified_on) if quantized else data
            outputs, placement = self.outputs(
                runtime, path, artifact, signature, subset.photos, subset.preprocessing
            )
            run = _Run(runtime, artifact, task, subset, outputs)
            snr = _quantized_snr(run) if quantized else _float_snr(run)
            for checked in (
                snr,
                _equality(run),
                _worst_class(run),
                _agreement(run),
                _accuracy_change(run),
            ):
                gates += checked[0]
                measurements |= checked[1]
            gates += placement_gates(runtime, placement)
            measurements[f"{runtime}.max_abs_error"] = max_abs_error(run.references, outputs)
        if artifact.precision == "fp16":
            gates.append(gate("eager.fp16_headroom", data.fp16_headroom, 1.0))
        return artifact.model_copy(update={"gates": tuple(gates), "measurements": measurements})

    def outputs(
        self,
        runtime: str,
        path: Path,
        artifact: Artifact,
        signature: Signature,
        photos: Sequence[Pixels],
        preprocessing: Preprocessing,
    ) -> tuple[list[Outputs], dict[str, int]]:
        """Return a runtime's outputs for each photo (H, W, C), by the signature's names, and the
        placement of its operations if it has an accelerator.

        Raises:
            DeviceError: the runtime can't open or run the artifact.
        """
        with self._locks[runtime], closing(self._open(runtime, path, artifact)) as session:
            outputs = run_photos(session, artifact, signature, photos, preprocessing)
            accelerated = RUNTIMES[runtime].accelerator is not None
            return outputs, session.placement() if accelerated else {}

    def _open(self, runtime: str, path: Path, artifact: Artifact) -> Session:
        if runtime in self._here:
            return open_session(runtime, path, artifact)
        return IsolatedSession(
            runtime,
            path,
            artifact,
            start_seconds=START_SECONDS,
            run_seconds=RUN_SECONDS,
            child=self._child(runtime, path),
        )

    def _child(self, runtime: str, path: Path) -> RuntimeProcess:
        """Return the runtime's child process; start one if there is none or it has ended."""
        child = self._children.get(runtime)
        if child is None or child.ended:
            child = self._children[runtime] = RuntimeProcess(path)
        return child


def run_photos(
    session: Session,
    artifact: Artifact,
    signature: Signature,
    photos: Sequence[Pixels],
    preprocessing: Preprocessing,
) -> list[Outputs]:
    """Return a session's outputs for each photo (H, W, C), by the signature's names, each of extent
    1 along the first axis.

    Raises:
        DeviceError: the runtime failed.
    """
    image = artifact.image
    inputs = [to_input(photo, preprocessing, image) for photo in photos]
    found: list[Outputs] = []
    for batch, count in to_batches(inputs, image.batch):
        outputs = by_signature(signature, artifact, session.run({image.name: batch}))
        found += [
            {name: array[index : index + 1] for name, array in outputs.items()}
            for index in range(count)
        ]
    return found


Checked = tuple[list[Gate], dict[str, float]]  # gates and measurements


@dataclass(frozen=True)
class _Run:
    """The outputs of an artifact in a runtime for each image of `data`."""

    runtime: str
    artifact: Artifact
    task: Task
    data: ReferenceData
    outputs: list[Outputs]

    @property
    def references(self) -> list[Outputs]:
        return self.data.references

    @property
    def nominal_threshold(self) -> float:
        """The target's SNR threshold for this precision in this runtime, in dB."""
        artifact = self.artifact
        return find_target(artifact.format).threshold(artifact.precision, self.runtime)

    @property
    def noise_margin_db(self) -> float:
        """By how much the SNR may be below eager's in the same precision, in dB."""
        precision = self.artifact.precision
        spec = find_target(self.artifact.format).precisions[precision]
        return spec.noise_margin_db_by_runtime.get(self.runtime, NOISE_MARGIN_DB[precision])

    def name(self, output: str, metric: str) -> str:
        """Return the name of an output's gate."""
        return gate_name(self.runtime, output, metric, self.references[0])


def _float_snr(run: _Run) -> Checked:
    """Check the worst photo's SNR of each output."""
    worst = worst_snr_db(run.references, run.outputs, run.data.scores)
    thresholds = {output: _snr_threshold(run, output, value) for output, value in worst.items()}
    thresholds, measured = _above_constant(run, thresholds, pooled=False)
    gates = [
        gate(run.name(output, "snr_db"), value, thresholds[output])
        for output, value in worst.items()
    ]
    return gates, measured | _low_eager_snr(run, worst)


def _above_constant(
    run: _Run, thresholds: Mapping[str, float], *, pooled: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the SNR thresholds, raised where the same outputs for every image would reach them,
    and as a measurement the SNR of these where one was raised."""
    least = run.data.least_snr_db(pooled=pooled)
    raised = {
        output: max(threshold, least.get(output, threshold))
        for output, threshold in thresholds.items()
    }
    constant = run.data.constant_snr_db(pooled=pooled)
    measured = {
        run.name(output, CONSTANT_SNR): constant[output]
        for output, threshold in raised.items()
        if threshold > thresholds[output]
    }
    return raised, measured


def _snr_threshold(run: _Run, output: str, value: float) -> float:
    """Return the SNR threshold of a float artifact's output in dB: the nominal one, or, if the
    value is below it, the SNR of eager PyTorch itself in this precision on the same photos minus a
    margin.

    A deep network in half precision reaches 35 to 44 dB in eager PyTorch, so no artifact can reach
    45; one that is worse than eager by more than the margin is broken.
    """
    nominal, precision = run.nominal_threshold, run.artifact.precision
    if value >= nominal or precision not in NOISE_MARGIN_DB:
        return nominal
    eager = run.data.noise_db(precision, output)
    relative = eager - run.noise_margin_db
    if precision == "fp16":
        relative = max(relative, min(MIN_FP16_SNR_DB, eager - NEAR_MINIMUM_MARGIN_DB))
    return min(nominal, max(relative, USELESS_SNR_DB))


def _low_eager_snr(run: _Run, worst: Mapping[str, float]) -> dict[str, float]:
    """Return as measurements the SNR of eager PyTorch in this precision, of the outputs of which it
    is so low that an artifact may differ in its predictions."""
    precision = run.artifact.precision
    if precision not in NOISE_MARGIN_DB:
        return {}
    eager = {
        output: run.data.noise_db(precision, output)
        for output, value in worst.items()
        if value < MIN_FP16_SNR_DB
    }
    return {
        run.name(output, EAGER_SNR): value
        for output, value in eager.items()
        if value < MIN_FP16_SNR_DB
    }


def _quantized_snr(run: _Run) -> Checked:
    """Check the SNR pooled over all images of each output, and measure the worst image's.

    Where the artifact was verified before in this runtime, as `lolvit verify` does again, it is
    also compared with that figure, of the same images: a faulty scale may cost a few dB, and be far
    from the threshold. Where the task compares no predictions, the SNR alone decides.
    """
    pooled = pooled_snr_db(run.references, run.outputs, run.data.scores)
    worst = worst_snr_db(run.references, run.outputs, run.data.scores)
    before = {each.name: each.value for each in run.artifact.gates}
    thresholds, measured = dict.fromkeys(pooled, run.nominal_threshold), dict[str, float]()
    if run.task.agreement is None:
        thresholds, measured = _above_constant(run, thresholds, pooled=True)
    gates: list[Gate] = []
    for output, value in pooled.items():
        name = run.name(output, "snr_db")
        gates.append(gate(name, value, thresholds[output]))
        if name in before:
            change = value - before[name]
            gates.append(gate(run.name(output, "snr_change"), change, SNR_CHANGE_THRESHOLD))
    worst_by_name = {run.name(output, "worst_snr_db"): value for output, value in worst.items()}
    return gates, worst_by_name | measured


def _equality(run: _Run) -> Checked:
    """Check the fraction of equal elements of each output of integer or bool dtype."""
    threshold = EQUAL_THRESHOLDS[run.artifact.precision]
    shares = equal_fractions(run.references, run.outputs)
    return [gate(run.name(name, "equal"), share, threshold) for name, share in shares.items()], {}


def _agreement(run: _Run) -> Checked:
    """Check the agreement of the task's predictions, and count the near ties left out of it.

    A quantized artifact of random weights has a measurement in place of the gate: the top two of
    1000 classes of half of the photos then differ by less than a tenth of the logits' rms, and
    white noise 33 dB below the logits changes one prediction in ten.
    """
    task, precision = run.task, run.artifact.precision
    found = task.compare(run.references, run.outputs, precision)
    measurements: dict[str, float] = {}
    if found.left_out:
        measurements[f"{run.runtime}.near_ties"] = float(found.left_out)
    if run.artifact.quantization is None or run.data.trained:
        return agreement_gates(run.runtime, task, found, precision), measurements
    if found.value is not None:
        measurements[f"{run.runtime}.{task.agreement}_agreement"] = found.value
    return [], measurements


def _worst_class(run: _Run) -> Checked:
    """Measure the SNR of the class whose logit or score has the lowest: of a dead class, one of
    1000, it is 0 dB, and of all logits still about 30, as much as half precision may give. There it
    is a gate; classes of good int8 artifacts have as little as 3 dB."""
    if run.task.agreement is None:
        return [], {}
    value = worst_class_snr_db(run.references, run.outputs, run.data.scores)
    if value is None:
        return [], {}
    name = f"{run.runtime}.worst_class_snr_db"
    if run.artifact.precision == "fp16":
        return [gate(name, value, WORST_CLASS_FP16_DB)], {}
    return [], {name: value}


def _accuracy_change(run: _Run) -> Checked:
    """Check the change of accuracy, and measure both accuracies in per cent; neither without the
    truth about enough images. What may be chance with so few images is no loss."""
    truth, eager = run.data.truth, run.data.accuracy(run.task)
    change = run.data.accuracy_change(run.task, run.outputs)
    if truth is None or eager is None or change is None:
        return [], {}
    name = truth.metric
    accuracies = {f"{run.runtime}.{name}_accuracy": eager + change, f"eager.{name}_accuracy": eager}
    chance = truth.chance(run.task, run.references, run.outputs)
    threshold = round(ACCURACY_CHANGE_THRESHOLD - chance, 2)
    return [gate(f"{run.runtime}.{name}_change", change, threshold)], accuracies


_CHECKS = (_equality, _worst_class, _agreement, _accuracy_change)
