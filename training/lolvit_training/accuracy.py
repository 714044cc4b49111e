"""Train several models with the same recipe and several seeds, to separate differences between
models from differences between seeds."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import EXIT_BUG, DeviceError, UserError
from lolvit.files import write_atomic
from lolvit_runtimes.worker.process import exit_reason, python_module, start

Log = Callable[[str], None]
RESULT = "accuracy.json"
_LAST = "last.pt"


@dataclass(frozen=True)
class Comparison:
    """The runs: each model on each data set with each seed; `options` go to `lolvit train`."""

    models: tuple[str, ...]
    data: tuple[str, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...]
    out: Path

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield (data, model, seed), seeds outermost: an interrupted comparison has about as many
        seeds of each model."""
        for seed in self.seeds:
            for data in self.data:
                for model in self.models:
                    yield data, model, seed


@dataclass(frozen=True)
class Row:
    """One model on one data set: top-1 of each seed's run on the test split, at its end."""

    data: str
    model: str
    top1: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return statistics.fmean(self.top1)

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation between seeds; None for one seed."""
        return statistics.stdev(self.top1) if len(self.top1) > 1 else None


def train_models(comparison: Comparison, log: Log) -> list[Row]:
    """Train, resuming unfinished runs, and write `accuracy.json`.

    Raises:
        UserError, DeviceError: from the run that failed.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for data, model, seed in comparison.runs():
        log(f"{model} on {data}, seed {seed}")
        top1 = float(_run(comparison, data, model, seed)["metrics"]["top1"])
        log(f"    top-1 {top1:.2%}")
        found.setdefault((data, model), []).append(top1)
    rows = [Row(data, model, tuple(top1)) for (data, model), top1 in found.items()]
    rows.sort(key=lambda row: (comparison.data.index(row.data), comparison.models.index(row.model)))
    write_atomic(
        comparison.out / RESULT, json.dumps(as_document(comparison, rows), indent=2) + "\n"
    )
    return rows


def as_document(comparison: Comparison, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the comparison as a JSON document."""
    return {
        "options": list(comparison.options),
        "seeds": list(comparison.seeds),
        "rows": [
            {
                "data": row.data,
                "model": row.model,
                "top1": list(row.top1),
                "mean": row.mean,
                "deviation": row.deviation,
            }
            for row in rows
        ],
    }


def _run(comparison: Comparison, data: str, model: str, seed: int) -> dict[str, Any]:
    """Run `lolvit train` in a process of its own; a finished run is only evaluated again."""
    out = comparison.out / f"{Path(data).name}-{model.replace('/', '-')}-{seed}"
    resume = ["--resume"] if (out / _LAST).exists() else []
    command = ["train", "--data", data, "--model", model, "--seed", str(seed), "--out", str(out)]
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
