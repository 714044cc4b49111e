"""Evaluate detectors and segmentation models: checkpoints in eager PyTorch, artifacts in their
runtimes. Artifacts need no torch."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from lolvit.accuracy import DenseResult, DetectionScore, EvaluationFailure, SegmentationScore
from lolvit.errors import DeviceError
from lolvit.files import write_atomic
from lolvit.manifest import (
    Artifact,
    Manifest,
    Preprocessing,
    by_signature,
    check_artifact,
)
from lolvit.placement import Placement
from lolvit.tasks import Outputs, find_task
from lolvit.tasks.detection import DetectionTask
from lolvit.tasks.segmentation import SegmentationTask
from lolvit_data.annotations import IGNORE, AnnotatedDataset
from lolvit_runtimes.preprocessing import placement_of, to_input, to_pixels
from lolvit_runtimes.worker.isolated import IsolatedSession
from lolvit_training.detection_metrics import OPTIONS, DetectionMetrics, save_detections
from lolvit_training.evaluate import Log, runtimes_of_artifacts
from lolvit_training.segmentation_metrics import SegmentationMetrics

Prediction = tuple[int, Outputs, Placement]  # an image's index, its outputs, its place in the input
DenseScore = DetectionScore | SegmentationScore


class Collector(Protocol):
    """Collects predictions of images, and computes their metrics."""

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's outputs."""

    def compute(self) -> DenseScore:
        """Return the metrics of all images."""

    def save(self, place: Path) -> Path:
        """Write the predictions to a file or folder that begins with this path; return its path."""


class BoxCollector:
    """Collects the detections of images."""

    def __init__(
        self, dataset: AnnotatedDataset, size: tuple[int, int], parameters: dict[str, Any]
    ) -> None:
        task = find_task("detection").configure(size, parameters)
        assert isinstance(task, DetectionTask)
        self._task, self._dataset = task.with_options(OPTIONS), dataset
        self.metrics = DetectionMetrics(dataset.classes)

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's detections, on the photo."""
        found = self._task.decoded(outputs)
        boxes = placement.boxes_on_photo(found.boxes)
        self.metrics.update(index, self._dataset.objects(index), boxes, found.scores, found.classes)

    def compute(self) -> DetectionScore:
        """Return COCO's metrics."""
        return self.metrics.compute()

    def save(self, place: Path) -> Path:
        """Write a file in COCO's format of results."""
        path = place.with_name(f"{place.name}.json")
        save_detections(self.metrics, self._dataset, path)
        return path


class MapCollector:
    """Compares maps of classes with masks, on the photos' pixels. With `keep` it keeps the maps, to
    be saved."""

    def __init__(
        self,
        dataset: AnnotatedDataset,
        size: tuple[int, int],
        parameters: dict[str, Any],
        keep: bool = False,
    ) -> None:
        task = find_task("segmentation").configure(size, parameters)
        assert isinstance(task, SegmentationTask)
        self._task, self._dataset, self._keep = task, dataset, keep
        self._maps: dict[int, bytes] = {}
        self.metrics = SegmentationMetrics(dataset.classes)

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's map."""
        found = placement.map_on_photo(self._task.decoded(outputs), IGNORE)
        self.metrics.update(self._dataset.mask(index), found)
        if self._keep:
            buffer = io.BytesIO()
            Image.fromarray(found).save(buffer, "PNG")
            self._maps[index] = buffer.getvalue()

    def compute(self) -> SegmentationScore:
        """Return the mean intersection over union."""
        return self.metrics.compute()

    def save(self, place: Path) -> Path:
        """Write a folder of masks, as BDD100K's evaluation server takes them: class numbers in
        8-bit PNG files, named as the images."""
        for index, data in self._maps.items():
            write_atomic(place / f"{self._dataset.identifier(index)}.png", data)
        return place


def collector_of(
    dataset: AnnotatedDataset,
    size: tuple[int, int],
    parameters: dict[str, Any],
    keep: bool = False,
) -> BoxCollector | MapCollector:
    """Return the collector of a data set's task, for a model of this input size."""
    if dataset.task == "detection":
        return BoxCollector(dataset, size, parameters)
    return MapCollector(dataset, size, parameters, keep)


def spread(count: int, limit: int | None) -> list[int]:
    """Return `limit` of `count` indices, evenly spread; all of them without a limit."""
    if limit is None or limit >= count:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, limit).round()]


def evaluate_artifacts(
    folder: Path,
    manifest: Manifest,
    dataset: AnnotatedDataset,
    indices: Sequence[int],
    runtimes: Sequence[str] | None,
    save: Path | None,
    log: Log,
) -> tuple[list[DenseResult], list[EvaluationFailure]]:
    """Evaluate every artifact in each of its runtimes; one that fails stops no other.

    Raises:
        UserError: a file does not match the manifest, or no runtime opens any.
    """
    pairs = runtimes_of_artifacts(manifest, runtimes, folder)
    for artifact, _ in pairs:
        check_artifact(folder, artifact)
    found: list[DenseResult] = []
    failures: list[EvaluationFailure] = []
    for artifact, runtime in pairs:
        log(f"{artifact.path} in {runtime} on {len(indices)} images")
        collector = collector_of(
            dataset, manifest.size, dict(manifest.postprocessing), save is not None
        )
        try:
            for prediction in _outputs(folder, manifest, artifact, runtime, dataset, indices):
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
            )
        )  # fmt: skip
    return found, failures


def saved(collector: Collector, save: Path | None, name: str) -> str | None:
    """Write a collector's predictions into a folder, if one is given; return where they are."""
    return str(collector.save(save / name)) if save is not None else None


def _outputs(
    folder: Path,
    manifest: Manifest,
    artifact: Artifact,
    runtime: str,
    dataset: AnnotatedDataset,
    indices: Sequence[int],
) -> Iterable[Prediction]:
    preprocessing: Preprocessing = manifest.preprocessing
    with closing(IsolatedSession(runtime, folder / artifact.path, artifact)) as session:
        for index in indices:
            photo = dataset.image(index, preprocessing.color)
            image = to_input(to_pixels(photo, preprocessing), preprocessing, artifact.image)
            batch = np.repeat(image, artifact.image.batch, axis=0)
            outputs = session.run({artifact.image.name: batch})
            named = by_signature(manifest.signature, artifact, outputs)
            one = {name: array[:1] for name, array in named.items()}
            yield index, one, placement_of((photo.height, photo.width), preprocessing)
