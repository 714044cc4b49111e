"""Train several models with the same recipe and several seeds, to separate differences between
models from differences between seeds."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.accuracy import AccuracyDifference, ComparisonDocument, TrainedAccuracy
from lolvit.errors import EXIT_BUG, DeviceError, UserError
from lolvit.files import write_atomic
from lolvit_runtimes.worker.process import exit_reason, python_module, start
from lolvit_training.correctness import Correctness, EvaluatedImages, read_correctness
from lolvit_training.paired import Right, accuracy_of, difference_of
from lolvit_training.run_files import LAST, MODEL

Log = Callable[[str], None]
RESULT = "accuracy.json"


@dataclass(frozen=True)
class Comparison:
    """The runs: each model on each data set with each seed; `options` go to `lolvit train`.

    `weights_from` is the folder of another comparison: each run begins with the weights of that
    one's run of the same model and seed.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...]
    out: Path
    weights_from: Path | None = None

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield (data, model, seed), seeds outermost: an interrupted comparison has about as many
        seeds of each model."""
        for seed in self.seeds:
            for data in self.data:
                for model in self.models:
                    yield data, model, seed

    def folder(self, data: str, model: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.out / f"{Path(data).name}-{_of_run(model, seed)}"

    def initial_weights(self, model: str, seed: int) -> Path | None:
        """Return the file of weights that runs of a model and seed begin with; None: from scratch.

        Raises:
            UserError: `weights_from` has no finished run of them, or runs on several data sets, or
                is the folder of these runs.
        """
        if self.weights_from is None:
            return None
        if self.weights_from.resolve() == self.out.resolve():
            raise UserError(
                "is the folder of these runs too",
                where=str(self.out),
                remedy="choose another --out",
            )
        pattern = f"*-{_of_run(model, seed)}/{MODEL}"
        found = sorted(self.weights_from.glob(pattern))
        if len(found) != 1:
            has = f"has {len(found)} runs" if found else "has no finished run"
            raise UserError(
                f"{has} of {model} with seed {seed}: one is needed",
                where=str(self.weights_from),
                remedy="name the folder of a lolvit accuracy of the same models and seeds, "
                f"on one data set; looked for {pattern}",
            )
        return found[0]

    def all_options(self) -> tuple[str, ...]:
        """Return what distinguishes this comparison from others of the same runs."""
        if self.weights_from is None:
            return self.options
        return (*self.options, "--weights-from", str(self.weights_from))


def _of_run(model: str, seed: int) -> str:
    return f"{model.replace('/', '-')}-{seed}"


@dataclass(frozen=True)
class _Run:
    """A finished run: its top-1 accuracy on the test split, the size of its images (height, width),
    and the images that it gets right."""

    data: str
    model: str
    top1: float
    size: tuple[int, int]
    correctness: Correctness


def train_models(comparison: Comparison, log: Log) -> ComparisonDocument:
    """Train, resuming unfinished runs, and write `accuracy.json`.

    Raises:
        UserError, DeviceError: from the run that failed; or two runs have different test images.
    """
    runs = []
    for data, model, seed, printed in trained(comparison, log):
        run = _finished(comparison.folder(data, model, seed), data, model, printed)
        log(f"    top-1 {run.top1:.2%}")
        runs.append(run)
    document = compare(comparison, runs)
    write_atomic(comparison.out / RESULT, document.model_dump_json(indent=2) + "\n")
    return document


def trained(comparison: Comparison, log: Log) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Train each model on each data set with each seed, resuming unfinished runs; yield data,
    model, seed and the document of `lolvit train --json`.

    Raises:
        UserError, DeviceError: from the run that failed.
    """
    for model, seed in itertools.product(comparison.models, comparison.seeds):
        comparison.initial_weights(model, seed)  # a missing one is an error now, not hours later
    for data, model, seed in comparison.runs():
        log(f"{model} on {data}, seed {seed}")
        yield data, model, seed, _run(comparison, data, model, seed)


def _finished(folder: Path, data: str, model: str, document: dict[str, Any]) -> _Run:
    top1 = float(document["metrics"]["top1"])
    return _Run(data, model, top1, size_of(document), read_correctness(folder))


def size_of(document: dict[str, Any]) -> tuple[int, int]:
    """Return the size (height, width) of a run's images, from the document of `lolvit train
    --json`."""
    size: int | list[int] = document["recipe"]["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def compare(comparison: Comparison, runs: Sequence[_Run]) -> ComparisonDocument:
    """Return the accuracies of all runs by data set and model, and the differences of each two
    models on a data set.

    Raises:
        UserError: two runs on a data set were evaluated on different images.
    """
    rows, differences = [], []
    for data in comparison.data:
        here = {
            model: [run for run in runs if (run.data, run.model) == (data, model)]
            for model in comparison.models
        }
        check_same_images(
            data,
            [(run.model, run.correctness.evaluated_images) for run in runs if run.data == data],
        )
        right = {
            model: np.stack([run.correctness.right() for run in found])
            for model, found in here.items()
        }
        rows += [_row(here[model], right[model]) for model in comparison.models]
        differences += [
            _difference(data, model, against, right[model], right[against])
            for model, against in itertools.combinations(comparison.models, 2)
        ]
    return ComparisonDocument(
        options=comparison.all_options(),
        seeds=comparison.seeds,
        rows=tuple(rows),
        differences=tuple(differences),
    )


def check_same_images(data: str, runs: Sequence[tuple[str, EvaluatedImages]]) -> None:
    """Check that runs, each a model and its test images, were evaluated on the same ones.

    Raises:
        UserError: two were not.
    """
    first, images = runs[0]
    other = next((model for model, of_run in runs if of_run != images), None)
    if other is not None:
        raise UserError(
            f"{first} and {other} were evaluated on different test images",
            where=data,
            remedy="choose another --out, so that all runs see the same data",
        )


def _row(runs: Sequence[_Run], right: Right) -> TrainedAccuracy:
    top1 = tuple(run.top1 for run in runs)
    estimate = accuracy_of(right)
    return TrainedAccuracy(
        data=runs[0].data,
        model=runs[0].model,
        top1=top1,
        mean=statistics.fmean(top1),
        deviation=statistics.stdev(top1) if len(top1) > 1 else None,
        size=runs[0].size,
        images=right.shape[1],
        low=estimate.low,
        high=estimate.high,
    )


def _difference(
    data: str, model: str, against: str, first: Right, second: Right
) -> AccuracyDifference:
    estimate = difference_of(first, second)
    return AccuracyDifference(
        data=data,
        model=model,
        against=against,
        difference=estimate.value,
        low=estimate.low,
        high=estimate.high,
        over=estimate.over,
        seeds=len(first),
        images=first.shape[1],
        significant=estimate.excludes_zero(),
    )


def _run(comparison: Comparison, data: str, model: str, seed: int) -> dict[str, Any]:
    """Run `lolvit train` in a process of its own; a finished run is only evaluated again."""
    out = comparison.folder(data, model, seed)
    resume = ["--resume"] if (out / LAST).exists() else []
    command = ["train", "--data", data, "--model", model, "--seed", str(seed), "--out", str(out)]
    weights = comparison.initial_weights(model, seed)
    command += [] if weights is None else ["--weights", str(weights)]
    arguments = [*command, *comparison.options, *resume, "--json"]
    with start(  # tied to this process: it ends too when this one is killed
        python_module("lolvit_runtimes.worker.server", "lolvit", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:  # Ctrl-C: the child ends too, cleaning up behind itself
            process.terminate()
            raise
    if process.returncode == EXIT_BUG or process.returncode < 0:
        raise DeviceError(f"training of {model} {exit_reason(process.returncode)}")
    document: dict[str, Any] = json.loads(printed)
    if (error := document.get("error")) is not None:
        raise UserError(error["what"], where=error["where"], remedy=error["remedy"])
    return document
