"""What a finished run writes beside its last checkpoint: the model, tensorboard events, a plot."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import lolvit
from lolvit.files import write_atomic
from lolvit.models.checkpoint import save_checkpoint
from lolvit_training.checkpoints import MODEL
from lolvit_training.loop import Epoch, Outcome
from lolvit_training.setup import Job

CURVES = "curves.png"


def write_results(job: Job, outcome: Outcome, processes: int) -> Path:
    """Write the model, events and curves into the run's folder; return the model's path.

    Raises:
        UserError: they can't be written.
    """
    path = job.out / MODEL
    write_events(job.out, outcome.history)
    plot_curves(job.out, outcome.history, f"{job.model} on {job.data}")
    save_checkpoint(outcome.run.final_model(), path, _config(job, outcome, processes))
    return path


def _config(job: Job, outcome: Outcome, processes: int) -> dict[str, Any]:
    """Return the metadata that is stored in the checkpoint."""
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
    """Return the metrics of the final model on the test split."""
    return outcome.score.model_dump(include={"images", "top1", "top5", "loss"})


def as_document(job: Job, outcome: Outcome, path: Path) -> dict[str, Any]:
    """Return the document of `--json`."""
    return {
        **job.conditions(),
        "path": str(path),
        "metrics": metrics(outcome),
        "per_class": [entry.model_dump() for entry in outcome.score.per_class],
        "history": [asdict(entry) for entry in outcome.history],
    }


def write_events(folder: Path, history: Sequence[Epoch]) -> None:
    """Write all epochs as tensorboard events, replacing earlier ones: a resumed run has one
    curve."""
    # Where TensorFlow is installed tensorboard would import it: this is its own switch.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for entry in history:
            figures = asdict(entry)
            for name in ("loss", "test_loss", "test_top1", "lr", "size", "seconds"):
                writer.add_scalar(name, figures[name], entry.epoch)


def plot_curves(folder: Path, history: Sequence[Epoch], title: str) -> None:
    """Plot training loss, test loss and test accuracy over epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    losses, accuracy = figure.subplots(1, 2)
    epochs = [entry.epoch for entry in history]
    losses.plot(epochs, [entry.loss for entry in history], label="training", marker=".")
    losses.plot(epochs, [entry.test_loss for entry in history], label="test", marker=".")
    losses.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))
    losses.legend(frameon=False)
    accuracy.plot(epochs, [100 * entry.test_top1 for entry in history], marker=".", color="C1")
    accuracy.set(xlabel="epoch", ylabel="top-1 (%)", ylim=(None, 100))
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomic(folder / CURVES, buffer.getvalue())
