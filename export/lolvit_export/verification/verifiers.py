"""Run an artifact in its runtimes on photos and compare it with eager PyTorch in float64.

Each runtime runs in a child process: a crash is reported as one line, and an artifact is verified
while the next one is lowered.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lolvit.manifest import Artifact, Gate, Preprocessing, Signature, by_signature
from lolvit.tasks import Outputs, Task
from lolvit_export.targets import HOST, find_target, runtimes_for
from lolvit_export.verification.comparison import (
    EQUAL_THRESHOLDS,
    MIN_FP16_SNR_DB,
    NOISE_MARGIN_DB,
    accuracy,
    agreement,
    equal_fractions,
    gate,
    gate_name,
    max_abs_error,
    placement_gates,
    pooled_snr_db,
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
# With fewer labelled images, one image is more than one percentage point.
_MIN_LABELLED_IMAGES = 100


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
        """Return a lowered artifact with its gates: for each output the worst photo's SNR in dB,
        and the agreement of the task's predictions.

        Raises:
            DeviceError: a runtime can't open or run the artifact.
        """
        gates: list[Gate] = []
        measurements: dict[str, float] = {}
        for runtime in self.runtimes(artifact.format):
            outputs, placement = self.outputs(
                runtime, path, artifact, signature, data.photos, data.preprocessing
            )
            references = data.references
            worst = worst_snr_db(references, outputs)
            for output, value in worst.items():
                nominal = find_target(artifact.format).threshold(artifact.precision, runtime)
                threshold = _snr_threshold(value, nominal, artifact.precision, output, data)
                gates.append(
                    gate(gate_name(runtime, output, "snr_db", references[0]), value, threshold)
                )
            gates += _equal_gates(runtime, artifact.precision, references, outputs)
            if task.agreement is not None:
                agreed, ties = agreement(task, references, outputs, artifact.precision)
                threshold = task.agreement_thresholds[artifact.precision]
                gates.append(gate(f"{runtime}.{task.agreement}", agreed, threshold))
                measurements |= {f"{runtime}.near_ties": float(ties)} if ties else {}
            gates += placement_gates(runtime, placement)
            measurements[f"{runtime}.max_abs_error"] = max_abs_error(references, outputs)
        return artifact.model_copy(update={"gates": tuple(gates), "measurements": measurements})

    def verify_quantized(
        self,
        path: Path,
        artifact: Artifact,
        signature: Signature,
        task: Task,
        data: ReferenceData,
    ) -> Artifact:
        """Return a quantized artifact with its gates on held-out images, and with its previous
        measurements.

        Quantization noise is random, and an image with small outputs has little signal: the gate is
        the SNR pooled over all images; the worst image's SNR is a measurement.

        The task's agreement is a gate for trained weights only. With random weights, the top two of
        1000 classes of half of the photos differ by less than a tenth of the logits' rms: white
        noise 33 dB below the logits changes one prediction in ten. There it is a measurement.

        Raises:
            DeviceError: a runtime can't open or run the artifact.
        """
        gates: list[Gate] = []
        measurements = dict(artifact.measurements)
        for runtime in self.runtimes(artifact.format):
            subset = data.first(RUNTIMES[runtime].verified_on)
            outputs, placement = self.outputs(
                runtime, path, artifact, signature, subset.photos, subset.preprocessing
            )
            references = subset.references
            threshold = find_target(artifact.format).threshold(artifact.precision, runtime)
            for output, value in pooled_snr_db(references, outputs).items():
                gates.append(
                    gate(gate_name(runtime, output, "snr_db", references[0]), value, threshold)
                )
            gates += _equal_gates(runtime, artifact.precision, references, outputs)
            gates += placement_gates(runtime, placement)
            if task.agreement is not None:
                agreed, ties = agreement(task, references, outputs, artifact.precision)
                measurements |= {f"{runtime}.near_ties": float(ties)} if ties else {}
                if data.trained:
                    minimum = task.agreement_thresholds[artifact.precision]
                    gates.append(gate(f"{runtime}.{task.agreement}", agreed, minimum))
                else:
                    measurements[f"{runtime}.{task.agreement}_agreement"] = agreed
            for output, value in worst_snr_db(references, outputs).items():
                measurements[gate_name(runtime, output, "worst_snr_db", references[0])] = value
            measurements[f"{runtime}.max_abs_error"] = max_abs_error(references, outputs)
            accuracy_gates, accuracies = _accuracy_gates(runtime, task, subset, outputs)
            gates += accuracy_gates
            measurements |= accuracies
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


def _snr_threshold(
    value: float, nominal: float, precision: str, output: str, data: ReferenceData
) -> float:
    """Return the SNR threshold of an output in dB: the nominal one, or, if the value is below it,
    the SNR of eager PyTorch itself in this precision on the same photos minus a margin.

    A deep network in half precision reaches 35 to 44 dB in eager PyTorch, so no artifact can reach
    45; one that is worse than eager by more than the margin is broken.
    """
    if value >= nominal or precision not in ("fp32", "fp16"):
        return nominal
    relative = data.noise_db(precision, output) - NOISE_MARGIN_DB[precision]
    return min(nominal, max(relative, MIN_FP16_SNR_DB) if precision == "fp16" else relative)


def _equal_gates(
    runtime: str, precision: str, references: Sequence[Outputs], outputs: Sequence[Outputs]
) -> list[Gate]:
    return [
        gate(gate_name(runtime, output, "equal", references[0]), share, EQUAL_THRESHOLDS[precision])
        for output, share in equal_fractions(references, outputs).items()
    ]


def _accuracy_gates(
    runtime: str, task: Task, data: ReferenceData, outputs: Sequence[Outputs]
) -> tuple[list[Gate], dict[str, float]]:
    """Return the gate on the change of accuracy, and both accuracies in per cent; neither without
    at least 100 labelled images."""
    labels = data.labels
    if labels is None or len(labels) < _MIN_LABELLED_IMAGES:
        return [], {}
    eager, quantized = (accuracy(task, each, labels) for each in (data.references, outputs))
    if eager is None or quantized is None:
        return [], {}
    name = task.agreement or "accuracy"
    change = gate(f"{runtime}.{name}_change", quantized - eager, ACCURACY_CHANGE_THRESHOLD)
    return [change], {f"{runtime}.{name}_accuracy": quantized, f"eager.{name}_accuracy": eager}
