"""Collect predictions of images with boxes or masks, and compute their metrics."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from lolvit.accuracy import DetectionScore, SegmentationScore
from lolvit.files import write_atomic
from lolvit.placement import Placement
from lolvit.tasks import Outputs, find_task
from lolvit.tasks.detection import DetectionTask
from lolvit.tasks.segmentation import SegmentationTask
from lolvit_data.annotations import IGNORE, AnnotatedDataset
from lolvit_data.detection_metrics import OPTIONS, DetectionMetrics, save_detections
from lolvit_data.segmentation_metrics import SegmentationMetrics

DenseScore = DetectionScore | SegmentationScore


class Collector(Protocol):
    """Collects predictions of images."""

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's outputs."""


class BoxCollector:
    """Collects the detections of images."""

    def __init__(
        self,
        dataset: AnnotatedDataset,
        size: tuple[int, int],
        parameters: dict[str, Any],
        by_size: bool = True,
    ) -> None:
        task = find_task("detection").configure(size, parameters)
        assert isinstance(task, DetectionTask)
        self._task, self._dataset = task.with_options(OPTIONS), dataset
        self.metrics = DetectionMetrics(dataset.classes, by_size=by_size)

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's detections, on the photo."""
        found = self._task.decoded(outputs)
        boxes = placement.boxes_on_photo(found.boxes)
        self.metrics.update(index, self._dataset.objects(index), boxes, found.scores, found.classes)

    def compute(self) -> DetectionScore:
        """Return COCO's metrics."""
        return self.metrics.compute()

    def without_groups(self) -> tuple[DetectionScore, ...]:
        """Return the metrics of all images but those of each group."""
        return self.metrics.matched().without_groups()

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
        self.metrics.update(index, self._dataset.mask(index), found)
        if self._keep:
            buffer = io.BytesIO()
            Image.fromarray(found).save(buffer, "PNG")
            self._maps[index] = buffer.getvalue()

    def compute(self) -> SegmentationScore:
        """Return the mean intersection over union."""
        return self.metrics.compute()

    def without_groups(self) -> tuple[SegmentationScore, ...]:
        """Return the metrics of all images but those of each group."""
        return self.metrics.without_groups()

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
    by_size: bool = True,
) -> BoxCollector | MapCollector:
    """Return the collector of a data set's task, for a model of this input size."""
    if dataset.task == "detection":
        return BoxCollector(dataset, size, parameters, by_size)
    return MapCollector(dataset, size, parameters, keep)
