"""What a finished run writes beside its last checkpoint: the model, its card, the plots."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lolvit
from lolvit.models.checkpoint import save_checkpoint
from lolvit_training.checkpoints import MODEL
from lolvit_training.history import plot_curves, write_events
from lolvit_training.loop import Outcome
from lolvit_training.setup import Job


def write_results(job: Job, outcome: Outcome, processes: int) -> Path:
    """Write the model, events and curves into the run's folder; return the model's path.

    Raises:
        UserError: they can't be written.
    """
    path = job.out / MODEL
    write_events(job.out, outcome.history)
    plot_curves(job.out, outcome.history, f"{job.model} on {job.data}")
    save_checkpoint(outcome.run.result(), path, _config(job, outcome, processes))
    return path


def _config(job: Job, outcome: Outcome, processes: int) -> dict[str, Any]:
    """Return what the checkpoint records of itself."""
    classes = outcome.run.train_set.classes
    return {
        **job.conditions(),
        "num_classes": len(classes),
        "trained": True,
        "preprocess": outcome.run.preprocessing.model_dump(),
        "labels": list(classes),
        "metrics": metrics(outcome),
        "processes": processes,
        "lolvit": lolvit.__version__,
    }


def metrics(outcome: Outcome) -> dict[str, Any]:
    """Return the figures of the result on the test split."""
    return outcome.score.model_dump(include={"images", "top1", "top5", "loss"})


def as_document(job: Job, outcome: Outcome, path: Path) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        **job.conditions(),
        "path": str(path),
        "metrics": metrics(outcome),
        "per_class": [entry.model_dump() for entry in outcome.score.per_class],
        "history": [asdict(entry) for entry in outcome.history],
    }
