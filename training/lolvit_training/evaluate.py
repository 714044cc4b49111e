"""Evaluate the artifacts of an export, each in its runtimes, on a data set."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import EvaluationFailure, EvaluationResult, Score
from lolvit.errors import DeviceError, UserError
from lolvit.manifest import Artifact, Manifest, Preprocessing, check_artifact, check_file
from lolvit_data.dataset import Dataset, even_share
from lolvit_runtimes.preprocessing import to_input, to_pixels
from lolvit_runtimes.probe import runtime_status
from lolvit_runtimes.snr import snr_db
from lolvit_runtimes.table import opens
from lolvit_runtimes.worker.isolated import IsolatedSession
from lolvit_training.metrics import DatasetMetrics

Log = Callable[[str], None]
Logits = npt.NDArray[np.float32]
EAGER = "eager"
UNTRAINED = "weights are untrained: the accuracy is that of chance"


@dataclass(frozen=True)
class EvaluationSet:
    """The images of a data set that are evaluated."""

    dataset: Dataset
    indices: Sequence[int]

    @classmethod
    def of(cls, dataset: Dataset, limit: int | None) -> EvaluationSet:
        """Take all images, or about `limit` of them, stratified by class."""
        count = len(dataset.labels) if limit is None else limit
        return cls(dataset, even_share(dataset.labels, count))

    def score(self, logits: Logits) -> Score:
        """Return the metrics of logits (B, classes), one row per image."""
        metrics = DatasetMetrics(self.dataset)
        metrics.update(logits, self.indices)
        return metrics.compute()


class HasClasses(Protocol):
    """A data set, with labels, boxes or masks."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""


def check_classes(
    dataset: HasClasses, classes: int, labels: Sequence[str] | None, where: str
) -> None:
    """Check that a model has the classes of a data set.

    Raises:
        UserError: their number or their names differ.
    """
    if classes != len(dataset.classes):
        raise UserError(
            f"has {classes} classes, {dataset.name} {len(dataset.classes)}",
            where=where,
            remedy="evaluate on the data that it was trained on",
        )
    if labels is not None and tuple(labels) != tuple(dataset.classes):
        pairs = zip(labels, dataset.classes, strict=True)
        own, other = next(pair for pair in pairs if pair[0] != pair[1])
        raise UserError(
            f"its labels differ from those of {dataset.name}: '{own}' in place of '{other}'",
            where=where,
            remedy="evaluate on the data that it was trained on",
        )


def eager_logits(folder: Path, manifest: Manifest, images: EvaluationSet) -> Logits | None:
    """Return eager PyTorch's logits (B, classes) in float32 of an export's weights; None where
    torch is not installed.

    Raises:
        UserError: the weights are missing or were changed.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch
    from torch import nn

    from lolvit.models.checkpoint import read_state
    from lolvit.models.loading import rebuild_model
    from lolvit_runtimes.torch_program import load_program
    from lolvit_training.scoring import predict_logits

    weights = check_file(folder, manifest.weights.path, manifest.weights.sha256)
    if weights.suffix == ".pt2":
        model: nn.Module = load_program(weights).float()
    else:
        state, config = read_state(weights)
        classes = manifest.signature.outputs[0].shape[-1]
        channels = manifest.preprocessing.channels
        model = rebuild_model(
            manifest.model,
            classes,
            state,
            str(weights),
            in_chans=channels,
            size=manifest.size,
            model_args=config.get("model_args"),
        )
    found = predict_logits(
        model,
        images.dataset,
        images.indices,
        manifest.preprocessing,
        device=torch.device("cpu"),
        where=str(weights),
    )
    return np.concatenate([logits for _, logits in found])


def evaluate_export(
    folder: Path,
    manifest: Manifest,
    images: EvaluationSet,
    runtimes: Sequence[str] | None,
    log: Log,
) -> tuple[list[EvaluationResult], list[EvaluationFailure]]:
    """Evaluate eager PyTorch and every artifact in each of its runtimes; one that fails stops no
    other.

    Raises:
        UserError: a file does not match the manifest, or no runtime opens any.
    """
    pairs = runtimes_of_artifacts(manifest, runtimes, folder)
    for artifact, _ in pairs:
        check_artifact(folder, artifact)
    log(f"{EAGER} on {len(images.indices)} images")
    reference = eager_logits(folder, manifest, images)
    found = [_eager_result(manifest, images, reference)] if reference is not None else []
    failures = []
    for artifact, runtime in pairs:
        log(f"{artifact.path} in {runtime}")
        try:
            logits = _run(folder / artifact.path, artifact, runtime, manifest.preprocessing, images)
        except DeviceError as error:
            failures.append(
                EvaluationFailure(target=artifact.path, runtime=runtime, error=error.line())
            )
            continue
        found.append(
            EvaluationResult(
                model=manifest.model,
                target=artifact.path,
                sha256=artifact.sha256,
                runtime=runtime,
                precision=artifact.precision,
                metrics=images.score(logits),
                **_compared(logits, reference),
            )
        )
    return found, failures


def _eager_result(manifest: Manifest, images: EvaluationSet, logits: Logits) -> EvaluationResult:
    return EvaluationResult(
        model=manifest.model,
        target=manifest.weights.path,
        sha256=manifest.weights.sha256,
        runtime=EAGER,
        precision="fp32",
        metrics=images.score(logits),
        agreement=1.0,
    )


def _compared(logits: Logits, reference: Logits | None) -> dict[str, float]:
    if reference is None:
        return {}
    agreement = float((logits.argmax(1) == reference.argmax(1)).mean())
    return {"agreement": agreement, "snr_db": snr_db(reference.astype(np.float64), logits)}


def _run(
    path: Path,
    artifact: Artifact,
    runtime: str,
    preprocessing: Preprocessing,
    images: EvaluationSet,
) -> Logits:
    rows = []
    with closing(IsolatedSession(runtime, path, artifact)) as session:
        for index in images.indices:
            pixels = to_pixels(images.dataset.image(index, preprocessing.color), preprocessing)
            image = to_input(pixels, preprocessing, artifact.image)
            batch = np.repeat(image, artifact.image.batch, axis=0)
            outputs = session.run({artifact.image.name: batch})
            rows.append(outputs[artifact.outputs[0].name][0])
    logits = np.stack(rows).astype(np.float32)  # (B, classes)
    if not np.isfinite(logits).all():
        raise DeviceError("its logits are not finite", where=str(path))
    return logits


def runtimes_of_artifacts(
    manifest: Manifest, runtimes: Sequence[str] | None, folder: Path
) -> list[tuple[Artifact, str]]:
    """Return each artifact with the runtimes to run it in: those that are asked for, or else the
    first ready one that opens it."""
    ready = [status.id for status in runtime_status() if status.ready]
    pairs = []
    for artifact in manifest.artifacts:
        fitting = [r for r in runtimes or ready if opens(r, artifact)]
        pairs += [(artifact, runtime) for runtime in (fitting if runtimes else fitting[:1])]
    if not pairs:
        formats = ", ".join(sorted({artifact.format for artifact in manifest.artifacts}))
        asked = f"{', '.join(runtimes)} opens" if runtimes else "no installed runtime opens"
        raise UserError(
            f"{asked} none of: {formats}", where=str(folder), remedy="run: lolvit doctor"
        )
    return pairs
