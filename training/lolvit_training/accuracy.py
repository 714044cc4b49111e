"""Several models trained by one recipe, several times each: what of a difference in accuracy is the
model, and what is chance."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import EXIT_BUG, DeviceError, UserError
from lolvit.files import write_atomic

Say = Callable[[str], None]
RESULT = "accuracy.json"
_LAST = "last.pt"


@dataclass(frozen=True)
class Wanted:
    """Which runs: each model on each data set with each seed; `options` go to `lolvit train`."""

    models: tuple[str, ...]
    data: tuple[str, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...]
    out: Path

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield (data, model, seed); seeds outermost, so that an interrupted table is an even
        one."""
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


def train_all(wanted: Wanted, say: Say) -> list[Row]:
    """Train, or go on with what is there, and write `accuracy.json`.

    Raises:
        UserError, DeviceError: as the run that failed says.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for data, model, seed in wanted.runs():
        say(f"{model} on {data}, seed {seed}")
        top1 = float(_run(wanted, data, model, seed)["metrics"]["top1"])
        say(f"    top-1 {top1:.2%}")
        found.setdefault((data, model), []).append(top1)
    rows = [Row(data, model, tuple(top1)) for (data, model), top1 in found.items()]
    rows.sort(key=lambda row: (wanted.data.index(row.data), wanted.models.index(row.model)))
    write_atomic(wanted.out / RESULT, json.dumps(as_document(wanted, rows), indent=2) + "\n")
    return rows


def as_document(wanted: Wanted, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the table as plain values."""
    return {
        "options": list(wanted.options),
        "seeds": list(wanted.seeds),
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


def _run(wanted: Wanted, data: str, model: str, seed: int) -> dict[str, Any]:
    """Run `lolvit train` in a process of its own; one that was finished only counts again."""
    out = wanted.out / f"{Path(data).name}-{model.replace('/', '-')}-{seed}"
    resume = ["--resume"] if (out / _LAST).exists() else []
    command = ["train", "--data", data, "--model", model, "--seed", str(seed), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lolvit", *command, *wanted.options, *resume, "--json"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == EXIT_BUG or done.returncode < 0:
        raise DeviceError(f"training of {model} was ended with code {done.returncode}")
    document: dict[str, Any] = json.loads(done.stdout)
    if (error := document.get("error")) is not None:
        raise UserError(error["what"], where=error["where"], remedy=error["remedy"])
    return document
