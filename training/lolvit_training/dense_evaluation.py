"""Evaluate detectors and segmentation models: checkpoints in eager PyTorch, artifacts in their
runtimes. Artifacts need no torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from lolvit.accuracy import DenseResult, EvaluationFailure
from lolvit.errors import DeviceError
from lolvit.manifest import (
    Artifact,
    Manifest,
    Preprocessing,
    by_signature,
    check_artifact,
)
from lolvit.placement import Placement
from lolvit.tasks import Outputs, configured
from lolvit.tasks.detection import DetectionTask
from lolvit.tasks.segmentation import SegmentationTask
from lolvit_data.annotations import AnnotatedDataset
from lolvit_data.collectors import BoxCollector, MapCollector, collector_of
from lolvit_data.detection_errors import errors_of
from lolvit_runtimes.preprocessing import placement_of, to_input, to_pixels
from lolvit_runtimes.worker.isolated import IsolatedSession
from lolvit_training.evaluate import Log, runtimes_of_artifacts

Prediction = tuple[int, Outputs, Placement]  # an image's index, its outputs, its place in the input


def evaluate_artifacts(
    folder: Path,
    manifest: Manifest,
    dataset: AnnotatedDataset,
    runtimes: Sequence[str] | None,
    save: Path | None,
    errors: bool,
    log: Log,
) -> tuple[list[DenseResult], list[EvaluationFailure]]:
    """Evaluate every artifact in each of its runtimes; one that fails stops no other. With `errors`
    a detector's are analysed.

    Raises:
        UserError: a file does not match the manifest, or no runtime opens any.
    """
    task = configured(manifest)
    assert isinstance(task, DetectionTask | SegmentationTask)
    pairs = runtimes_of_artifacts(manifest, runtimes, folder)
    for artifact, _ in pairs:
        check_artifact(folder, artifact)
    found: list[DenseResult] = []
    failures: list[EvaluationFailure] = []
    for artifact, runtime in pairs:
        log(f"{artifact.path} in {runtime} on {len(dataset)} images")
        collector = collector_of(
            dataset, manifest.size, dict(manifest.postprocessing), save is not None
        )
        times: list[float] = []
        try:
            for prediction in _outputs(folder, manifest, artifact, runtime, dataset):
                times.append(_decoding_ms(task, prediction[1]))
                collector.add(*prediction)
        except DeviceError as error:
            failures.append(
                EvaluationFailure(target=artifact.path, runtime=runtime, error=error.line())
            )
            continue
        found.append(
            DenseResult(
                model=manifest.model, target=artifact.path, sha256=artifact.sha256,
                runtime=runtime, precision=artifact.precision, metrics=collector.compute(),
                saved=saved(collector, save, f"{artifact.path}-{runtime}"),
                decoding_ms=statistics.median(times),
                errors=errors_of(collector.metrics)
                if errors and isinstance(collector, BoxCollector)
                else None,
            )
        )  # fmt: skip
    return found, failures


def _decoding_ms(task: DetectionTask | SegmentationTask, outputs: Outputs) -> float:
    start = time.perf_counter()
    task.decoded(outputs)
    return (time.perf_counter() - start) * 1e3


def saved(collector: BoxCollector | MapCollector, save: Path | None, name: str) -> str | None:
    """Write a collector's predictions into a folder, if one is given; return where they are."""
    return str(collector.save(save / name)) if save is not None else None


def _outputs(
    folder: Path,
    manifest: Manifest,
    artifact: Artifact,
    runtime: str,
    dataset: AnnotatedDataset,
) -> Iterable[Prediction]:
    preprocessing: Preprocessing = manifest.preprocessing
    with closing(IsolatedSession(runtime, folder / artifact.path, artifact)) as session:
        for index in range(len(dataset)):
            photo = dataset.image(index, preprocessing.color)
            image = to_input(to_pixels(photo, preprocessing), preprocessing, artifact.image)
            batch = np.repeat(image, artifact.image.batch, axis=0)
            outputs = session.run({artifact.image.name: batch})
            named = by_signature(manifest.signature, artifact, outputs)
            one = {name: array[:1] for name, array in named.items()}
            yield index, one, placement_of((photo.height, photo.width), preprocessing)
