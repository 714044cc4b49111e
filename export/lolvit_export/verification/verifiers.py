"""Run an artifact in its runtimes on photos and compare it with eager PyTorch in float64.

Each runtime runs in a child process: a crash becomes one line, and an artifact is verified while
the next one is lowered.
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
    LEAST_FP16_DB,
    NOISE_MARGIN_DB,
    accuracy,
    agreement,
    equal_shares,
    gate,
    max_abs_error,
    metric,
    placement_gates,
    pooled_snr_db,
    worst_snr_db,
)
from lolvit_export.verification.reference import Evidence
from lolvit_runtimes.isolated import Child, IsolatedSession
from lolvit_runtimes.preprocessing import Pixels, to_batches, to_input
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES

_PYTHON = frozenset({"coreml-reference"})  # runtimes that are written in Python, on torch
# A child that is slow is not wrong: on a busy machine imports take minutes, and
# reference kernels are plain loops.
START_SECONDS, RUN_SECONDS = 900.0, 600.0
# Points of accuracy that quantization may cost.
ACCURACY_CHANGE_THRESHOLD = -1.0
# With fewer labelled images than this one image is more than a point.
_LEAST_LABELLED = 100


class Verifiers:
    """The child processes that artifacts are verified in: one a runtime, for its artifacts one
    after another. Several threads may verify at once.

    `device` is where: one of `lolvit_export.targets.devices()`. With `own`, for artifacts that this
    process has just written, an interpreter in Python runs here: it can't crash, and a process of
    its own would import torch once more.
    """

    def __init__(self, *, own: bool = False, device: str = HOST) -> None:
        self.device = device
        self._here = _PYTHON if own else frozenset[str]()
        self._children: dict[str, Child] = {}
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __enter__(self) -> Verifiers:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    def start(self, target: str) -> None:
        """Have the runtimes of a target imported, so that they are there when they are needed."""
        for runtime in set(self.runtimes(target)) - self._here:
            with self._turns[runtime]:
                self._child(runtime, Path(target)).import_ahead(runtime)

    def runtimes(self, target: str) -> tuple[str, ...]:
        """Return the runtimes that an artifact of this target is run in."""
        return runtimes_for(target, self.device)

    def verify(
        self, path: Path, artifact: Artifact, signature: Signature, task: Task, evidence: Evidence
    ) -> Artifact:
        """Return an artifact that was lowered with its gates: by output the worst photo's SNR, and
        how far the task's predictions agree.

        Raises:
            DeviceError: a runtime refused the artifact.
        """
        gates: list[Gate] = []
        measurements: dict[str, float] = {}
        for runtime in self.runtimes(artifact.format):
            outputs, placement = self.outputs(
                runtime, path, artifact, signature, evidence.photos, evidence.preprocessing
            )
            references = evidence.references
            worst = worst_snr_db(references, outputs)
            for output, value in worst.items():
                nominal = find_target(artifact.format).threshold(artifact.precision, runtime)
                threshold = _against_noise(value, nominal, artifact.precision, output, evidence)
                gates.append(
                    gate(metric(runtime, output, "snr_db", references[0]), value, threshold)
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
        self, path: Path, artifact: Artifact, signature: Signature, task: Task, evidence: Evidence
    ) -> Artifact:
        """Return a quantized artifact with its gates on held-out images; what has been measured of
        it before stays.

        Rounding to few bits errs at random: an image with small outputs tells little, so that the
        SNR is that of all images together; the worst image's is reported beside it.

        The task's agreement is a gate for trained weights. Random ones rate half of the photos' two
        top classes of 1000 within a tenth of the logits' rms, so that chance decides: white noise
        33 dB below the logits changes one in ten. Their agreement is measured and reported.

        Raises:
            DeviceError: a runtime refused the artifact.
        """
        gates: list[Gate] = []
        measurements = dict(artifact.measurements)
        for runtime in self.runtimes(artifact.format):
            seen = evidence.first(RUNTIMES[runtime].verified_on)
            outputs, placement = self.outputs(
                runtime, path, artifact, signature, seen.photos, seen.preprocessing
            )
            references = seen.references
            threshold = find_target(artifact.format).threshold(artifact.precision, runtime)
            for output, value in pooled_snr_db(references, outputs).items():
                gates.append(
                    gate(metric(runtime, output, "snr_db", references[0]), value, threshold)
                )
            gates += _equal_gates(runtime, artifact.precision, references, outputs)
            gates += placement_gates(runtime, placement)
            if task.agreement is not None:
                agreed, ties = agreement(task, references, outputs, artifact.precision)
                measurements |= {f"{runtime}.near_ties": float(ties)} if ties else {}
                if evidence.trained:
                    least = task.agreement_thresholds[artifact.precision]
                    gates.append(gate(f"{runtime}.{task.agreement}", agreed, least))
                else:
                    measurements[f"{runtime}.{task.agreement}_agreement"] = agreed
            for output, value in worst_snr_db(references, outputs).items():
                measurements[metric(runtime, output, "worst_snr_db", references[0])] = value
            measurements[f"{runtime}.max_abs_error"] = max_abs_error(references, outputs)
            found, figures = _accuracy_gates(runtime, task, seen, outputs)
            gates += found
            measurements |= figures
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
        """Return a runtime's outputs for each photo (H, W, C), by the signature's names, and its
        operations by where they ran if it has an accelerator.

        Raises:
            DeviceError: the runtime refused the artifact.
        """
        with self._turns[runtime], closing(self._opened(runtime, path, artifact)) as session:
            outputs = run_photos(session, artifact, signature, photos, preprocessing)
            accelerated = RUNTIMES[runtime].accelerator is not None
            return outputs, session.placement() if accelerated else {}

    def _opened(self, runtime: str, path: Path, artifact: Artifact) -> Session:
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

    def _child(self, runtime: str, path: Path) -> Child:
        """Return the runtime's child: a new one if there is none, or it has ended."""
        child = self._children.get(runtime)
        if child is None or child.ended:
            child = self._children[runtime] = Child(path)
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
            {name: array[place : place + 1] for name, array in outputs.items()}
            for place in range(count)
        ]
    return found


def _against_noise(
    value: float, nominal: float, precision: str, output: str, evidence: Evidence
) -> float:
    """Return the threshold of an output's SNR: the nominal one, or, where that is missed, what
    eager PyTorch itself reaches in this precision on the same photos, less a margin.

    A deep network in half precision has 35 to 44 dB in eager PyTorch too, where no artifact can
    have 45; what is worse than its own arithmetic by more than the margin is broken.
    """
    if value >= nominal or precision not in ("fp32", "fp16"):
        return nominal
    own = evidence.noise_db(precision, output) - NOISE_MARGIN_DB[precision]
    return min(nominal, max(own, LEAST_FP16_DB) if precision == "fp16" else own)


def _equal_gates(
    runtime: str, precision: str, references: Sequence[Outputs], outputs: Sequence[Outputs]
) -> list[Gate]:
    return [
        gate(metric(runtime, output, "equal", references[0]), share, EQUAL_THRESHOLDS[precision])
        for output, share in equal_shares(references, outputs).items()
    ]


def _accuracy_gates(
    runtime: str, task: Task, evidence: Evidence, outputs: Sequence[Outputs]
) -> tuple[list[Gate], dict[str, float]]:
    """Return the gate on accuracy, with the figures, where the images are labelled and enough."""
    labels = evidence.labels
    if labels is None or len(labels) < _LEAST_LABELLED:
        return [], {}
    eager, kept = (accuracy(task, found, labels) for found in (evidence.references, outputs))
    if eager is None or kept is None:
        return [], {}
    name = task.agreement or "accuracy"
    change = gate(f"{runtime}.{name}_change", kept - eager, ACCURACY_CHANGE_THRESHOLD)
    return [change], {f"{runtime}.{name}_accuracy": kept, f"eager.{name}_accuracy": eager}
