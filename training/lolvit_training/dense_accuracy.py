"""Compare detectors and segmentation models that were trained with the same recipe and seeds."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lolvit.accuracy import (
    METRIC_LABELS,
    METRICS,
    DenseComparisonDocument,
    DenseMetric,
    DenseTask,
    MetricDifference,
    TrainedMetric,
)
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.models.loading import load_checkpoint
from lolvit.placement import Placement
from lolvit.tasks import Outputs
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import AnnotatedDataset
from lolvit_data.collectors import BoxCollector, DenseScore, MapCollector, collector_of
from lolvit_training.accuracy import RESULT, Comparison, trained
from lolvit_training.dense import collect
from lolvit_training.distributed import process_group
from lolvit_training.paired import MetricOfRuns, difference_of_means, mean_of
from lolvit_training.run_files import MODEL

Log = Callable[[str], None]
_GROUPS: Final = 20  # of test images, that metrics are computed without


@dataclass(frozen=True)
class RunScores:
    """The metrics of a run's final model on all test images, and without each group of them; the
    size of its images (height, width)."""

    data: str
    model: str
    size: tuple[int, int]
    whole: DenseScore
    without: tuple[DenseScore, ...]

    def knows(self, metric: DenseMetric) -> bool:
        """Whether the test images have what a metric is about."""
        return getattr(self.whole, metric) is not None


class _Groups:
    """Collects predictions in one collector for each group of images, which take turns."""

    def __init__(self, dataset: AnnotatedDataset, size: tuple[int, int]) -> None:
        count = min(_GROUPS, len(dataset))
        self._collectors = [collector_of(dataset, size, {}) for _ in range(count)]

    def add(self, index: int, outputs: Outputs, placement: Placement) -> None:
        """Add an image's outputs."""
        self._collectors[index % len(self._collectors)].add(index, outputs, placement)

    def compute(self) -> DenseScore:
        """Return the metrics of all images."""
        return self._merged(self._collectors)

    def without_each(self) -> tuple[DenseScore, ...]:
        """Return the metrics of all images but those of each group."""
        return tuple(
            self._merged([each for each in self._collectors if each is not left_out])
            for left_out in self._collectors
        )

    @staticmethod
    def _merged(collectors: Sequence[BoxCollector | MapCollector]) -> DenseScore:
        parts: list[Any] = [each.metrics for each in collectors]  # all of one task
        score: DenseScore = parts[0].merge(parts).compute()
        return score


def train_dense_models(
    comparison: Comparison, task: DenseTask, log: Log
) -> DenseComparisonDocument:
    """Train, resuming unfinished runs, and write `accuracy.json`.

    Raises:
        UserError, DeviceError: from the run that failed; or a data set has one test image.
    """
    tests = {data: open_annotated(data, "test", task) for data in comparison.data}
    for dataset in tests.values():
        if len(dataset) < 2:
            raise UserError("has one test image: an interval needs two", where=dataset.name)
    runs = []
    for data, model, seed, _ in trained(comparison, log):
        run = _measured(data, model, comparison.folder(data, model, seed), tests[data])
        main = METRICS[task][0]
        log(f"    {METRIC_LABELS[main]} {getattr(run.whole, main):.2%}")
        runs.append(run)
    document = compare_metrics(comparison, task, runs)
    write_atomic(comparison.out / RESULT, document.model_dump_json(indent=2) + "\n")
    return document


def _measured(data: str, model: str, folder: Path, dataset: AnnotatedDataset) -> RunScores:
    """Evaluate a run's final model in eager PyTorch."""
    loaded = load_checkpoint(model, folder / MODEL)
    preprocessing = loaded.preprocessing()
    groups = _Groups(dataset, preprocessing.size)
    with process_group() as processes:
        loaded.model.to(processes.device)
        collect(groups, loaded.model, dataset, preprocessing, processes, workers=0)
    return RunScores(data, model, preprocessing.size, groups.compute(), groups.without_each())


def compare_metrics(
    comparison: Comparison, task: DenseTask, runs: Sequence[RunScores]
) -> DenseComparisonDocument:
    """Return the metrics of all runs by data set, metric and model, and the differences of each two
    models."""
    rows, differences = [], []
    for data, metric in itertools.product(comparison.data, METRICS[task]):
        here = [run for run in runs if run.data == data]
        if not all(run.knows(metric) for run in here):
            continue
        of_model = {
            model: [run for run in here if run.model == model] for model in comparison.models
        }
        rows += [_row(metric, found) for found in of_model.values()]
        differences += [
            _difference(metric, of_model[model], of_model[against])
            for model, against in itertools.combinations(comparison.models, 2)
        ]
    return DenseComparisonDocument(
        task=task,
        options=comparison.all_options(),
        seeds=comparison.seeds,
        rows=tuple(rows),
        differences=tuple(differences),
    )


def _of_runs(metric: DenseMetric, runs: Sequence[RunScores]) -> MetricOfRuns:
    return MetricOfRuns(
        np.array([getattr(run.whole, metric) for run in runs]),
        np.array([[getattr(score, metric) for score in run.without] for run in runs]),
    )


def _row(metric: DenseMetric, runs: Sequence[RunScores]) -> TrainedMetric:
    figures = _of_runs(metric, runs)
    estimate = mean_of(figures)
    values = tuple(map(float, figures.whole))
    return TrainedMetric(
        data=runs[0].data,
        model=runs[0].model,
        metric=metric,
        values=values,
        mean=estimate.value,
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        low=estimate.low,
        high=estimate.high,
        size=runs[0].size,
        images=runs[0].whole.images,
    )


def _difference(
    metric: DenseMetric, runs: Sequence[RunScores], against: Sequence[RunScores]
) -> MetricDifference:
    estimate = difference_of_means(_of_runs(metric, runs), _of_runs(metric, against))
    return MetricDifference(
        data=runs[0].data,
        model=runs[0].model,
        against=against[0].model,
        metric=metric,
        difference=estimate.value,
        low=estimate.low,
        high=estimate.high,
        over=estimate.over,
        seeds=len(runs),
        images=runs[0].whole.images,
        significant=estimate.excludes_zero(),
    )
