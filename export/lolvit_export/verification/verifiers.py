"""Run an artifact in its runtimes on photos and compare it with eager PyTorch in float64.

Each runtime runs in a child process: a crash becomes one line, and an artifact is verified while
the next one is lowered.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lolvit.manifest import Artifact, Gate, Preprocess
from lolvit_export.verification.devices import HOST, runtimes_for
from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.isolated import Child, IsolatedSession
from lolvit_runtimes.preprocessing import Pixels, normalize, to_input
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES

Logits = npt.NDArray[np.float64]

# Signal-to-noise floors in dB, by runtime and precision. Never defaulted: a pair that is not here
# cannot be verified.
SNR_FLOOR: dict[tuple[str, str], float] = {
    ("ort", "fp32"): 100,
    ("ort", "fp16"): 45,
    ("litert", "fp32"): 100,
    ("litert", "fp16"): 45,
    ("litert-gpu", "fp32"): 90,
    ("litert-gpu", "fp16"): 45,
    ("litert-gpu", "int8"): 20,
    ("litert-gpu", "w8a16"): 28,
    ("litert-gpu", "w4"): 20,
    ("litert-reference", "fp32"): 100,
    ("litert-reference", "fp16"): 45,
    ("coreml-reference", "fp32"): 90,
    ("coreml-reference", "fp16"): 45,
    ("coreml", "fp32"): 90,
    ("coreml", "fp16"): 45,
    ("executorch", "fp32"): 100,
    ("eager", "fp32"): 100,
    ("ort", "int8"): 20,
    ("ort", "w8a16"): 28,
    ("litert", "int8"): 20,
    ("litert", "w8a16"): 28,
    ("litert", "w4"): 20,
    ("litert-reference", "int8"): 20,
    ("litert-reference", "w8a16"): 28,
    ("litert-reference", "w4"): 20,
    ("tensorflow", "fp32"): 100,
    ("tensorflow", "fp16"): 45,
    ("tensorflow", "int8"): 20,
    ("tensorflow", "w8a16"): 28,
    ("tensorflow", "w4"): 20,
    ("coreml-reference", "int8"): 20,
    ("coreml-reference", "w8a16"): 28,
    ("coreml-reference", "w4"): 20,
    ("coreml", "int8"): 20,
    ("coreml", "w8a16"): 28,
    ("coreml", "w4"): 20,
    ("qnn", "fp16"): 45,
    ("qnn", "int8"): 20,
    ("qnn", "w8a16"): 28,
    ("ort-arm64-a76", "fp32"): 100,
    ("ort-arm64-a76", "fp16"): 45,
    ("ort-arm64-a76", "int8"): 20,
    ("ort-arm64-a76", "w8a16"): 28,
    ("ort-arm64-i8mm", "fp32"): 100,
    ("ort-arm64-i8mm", "fp16"): 45,
    ("ort-arm64-i8mm", "int8"): 20,
    ("ort-arm64-i8mm", "w8a16"): 28,
    ("litert-arm64-a76", "fp32"): 100,
    ("litert-arm64-a76", "fp16"): 45,
    ("litert-arm64-a76", "int8"): 20,
    ("litert-arm64-a76", "w8a16"): 28,
    ("litert-arm64-a76", "w4"): 20,
    ("litert-arm64-i8mm", "fp32"): 100,
    ("litert-arm64-i8mm", "fp16"): 45,
    ("litert-arm64-i8mm", "int8"): 20,
    ("litert-arm64-i8mm", "w8a16"): 28,
    ("litert-arm64-i8mm", "w4"): 20,
}
_PYTHON = frozenset({"coreml-reference"})  # runtimes that are written in Python, on torch
# A child that is slow is not wrong: on a busy machine imports take minutes, and
# reference kernels are plain loops.
START_SECONDS, RUN_SECONDS = 900.0, 600.0
# Share of photos with eager's top class. Half precision may turn one near tie in eight. Accuracy on
# labelled images is a gate of its own of quantized artifacts.
TOP1_FLOOR = {"fp32": 1.0, "fp16": 0.875, "int8": 0.9, "w8a16": 0.95, "w4": 0.9}


def eager_logits(
    model: nn.Module, photos: Sequence[Pixels], preprocess: Preprocess
) -> list[Logits]:
    """Return eager PyTorch's logits (1, classes) in float64 for each photo (H, W, 3)."""
    exact = copy.deepcopy(model).double().eval()
    images = [torch.from_numpy(normalize(photo, preprocess)).double() for photo in photos]
    with torch.no_grad():
        return [exact(image).numpy() for image in images]


class Verifiers:
    """The child processes that artifacts are verified in: one a runtime, for its artifacts one
    after another. Several threads may verify at once.

    `device` is where: one of `VERIFY_DEVICES`. With `own`, for artifacts that this process has just
    written, an interpreter in Python runs here: it can't crash, and a process of its own would
    import torch once more.
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

    def start(self, format: str) -> None:
        """Have the runtimes of a format imported, so that they are there when they are needed."""
        for runtime in set(self.runtimes(format)) - self._here:
            with self._turns[runtime]:
                self._child(runtime, Path(format)).import_ahead(runtime)

    def runtimes(self, format: str) -> tuple[str, ...]:
        """Return the runtimes that an artifact of this format is run in."""
        return runtimes_for(format, self.device)

    def verify(
        self,
        path: Path,
        artifact: Artifact,
        photos: Sequence[Pixels],
        references: Sequence[Logits],
        preprocess: Preprocess,
    ) -> Artifact:
        """Return the artifact with its gates: the worst photo's SNR and the top-1 agreement.

        Raises:
            DeviceError: a runtime refused the artifact.
        """
        gates: list[Gate] = []
        measured: dict[str, float] = {}
        for runtime in self.runtimes(artifact.format):
            outputs, placement = self.outputs(runtime, path, artifact, photos, preprocess)
            worst = min(snr_db(r, o) for r, o in zip(references, outputs, strict=True))
            agreement = top1_agreement(references, outputs)
            gates.append(gate(f"{runtime}.snr_db", worst, SNR_FLOOR[runtime, artifact.precision]))
            gates.append(gate(f"{runtime}.top1", agreement, TOP1_FLOOR[artifact.precision]))
            gates += placement_gates(runtime, placement)
            measured[f"{runtime}.max_abs_error"] = max_abs_error(references, outputs)
        return artifact.model_copy(update={"gates": tuple(gates), "measured": measured})

    def outputs(
        self,
        runtime: str,
        path: Path,
        artifact: Artifact,
        photos: Sequence[Pixels],
        preprocess: Preprocess,
    ) -> tuple[list[Logits], dict[str, int]]:
        """Return a runtime's logits (1, classes) for each photo (H, W, 3), and its operations by
        where they ran if it has an accelerator.

        Raises:
            DeviceError: the runtime refused the artifact.
        """
        inputs: list[Any] = [to_input(photo, preprocess, artifact.input) for photo in photos]
        with self._turns[runtime], closing(self._opened(runtime, path, artifact)) as session:
            outputs = [session.run(image).astype(np.float64) for image in inputs]
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


def gate(name: str, value: float, floor: float) -> Gate:
    """Return a gate that has passed if the value reaches the floor."""
    return Gate(name=name, value=value, floor=floor, passed=value >= floor)


def placement_gates(runtime: str, placement: dict[str, int]) -> list[Gate]:
    """Return the gate that all operations ran on the runtime's accelerator, where it has one."""
    accelerator = RUNTIMES[runtime].accelerator
    if accelerator is None:
        return []
    share = placement.get(accelerator, 0) / max(1, sum(placement.values()))
    return [gate(f"{runtime}.on_{accelerator.lower()}", share, 1.0)]


def top1_agreement(references: Sequence[Logits], outputs: Sequence[Logits]) -> float:
    """Return the share of photos on which both have the same top class."""
    pairs = list(zip(references, outputs, strict=True))
    return sum(int(r.argmax() == o.argmax()) for r, o in pairs) / len(pairs)


def max_abs_error(references: Sequence[Logits], outputs: Sequence[Logits]) -> float:
    """Return the largest absolute difference of any logit on any photo (infinite: 1e300)."""
    worst = max(
        float(np.abs(r - o).max(initial=0.0)) for r, o in zip(references, outputs, strict=True)
    )
    return worst if math.isfinite(worst) else 1e300
