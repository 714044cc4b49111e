"""Compare detectors and segmentation models that were trained with the same recipe and seeds."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from lolvit_data.annotated import open_annotated
from lolvit_training.accuracy import RESULT, Comparison, check_same_images, size_of, trained
from lolvit_training.jackknife import Jackknife, read_jackknife
from lolvit_training.paired import MetricOfRuns, difference_of_means, mean_of

Log = Callable[[str], None]


@dataclass(frozen=True)
class DenseRun:
    """A finished run: the size of its images (height, width), and the metrics of its final model on
    the test images, all of them and without groups."""

    data: str
    model: str
    size: tuple[int, int]
    jackknife: Jackknife


def train_dense_models(
    comparison: Comparison, task: DenseTask, log: Log
) -> DenseComparisonDocument:
    """Train, resuming unfinished runs, and write `accuracy.json`.

    Raises:
        UserError, DeviceError: from the run that failed; a data set has one test image; or two runs
            have different test images.
    """
    for data in comparison.data:
        dataset = open_annotated(data, "test", task)
        if len(dataset) < 2:
            raise UserError("has one test image: an interval needs two", where=dataset.name)
    runs = []
    for data, model, seed, printed in trained(comparison, log):
        found = read_jackknife(comparison.folder(data, model, seed))
        main = METRICS[task][0]
        log(f"    {METRIC_LABELS[main]} {found.metrics[main].whole:.2%}")
        runs.append(DenseRun(data, model, size_of(printed), found))
    document = compare_metrics(comparison, task, runs)
    write_atomic(comparison.out / RESULT, document.model_dump_json(indent=2) + "\n")
    return document


def compare_metrics(
    comparison: Comparison, task: DenseTask, runs: Sequence[DenseRun]
) -> DenseComparisonDocument:
    """Return the metrics of all runs by data set, metric and model, and the differences of each two
    models.

    Raises:
        UserError: two runs on a data set were evaluated on different images.
    """
    for data in comparison.data:
        check_same_images(
            data, [(run.model, run.jackknife.evaluated_images) for run in runs if run.data == data]
        )
    rows, differences = [], []
    for data, metric in itertools.product(comparison.data, METRICS[task]):
        here = [run for run in runs if run.data == data]
        if not all(metric in run.jackknife.metrics for run in here):
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


def _of_runs(metric: DenseMetric, runs: Sequence[DenseRun]) -> MetricOfRuns:
    found = [run.jackknife.metrics[metric] for run in runs]
    return MetricOfRuns(
        np.array([each.whole for each in found]), np.array([each.without for each in found])
    )


def _row(metric: DenseMetric, runs: Sequence[DenseRun]) -> TrainedMetric:
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
        images=runs[0].jackknife.images,
    )


def _difference(
    metric: DenseMetric, runs: Sequence[DenseRun], against: Sequence[DenseRun]
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
        images=runs[0].jackknife.images,
        significant=estimate.excludes_zero(),
    )
