"""What a finished run writes beside its last checkpoint: the model, tensorboard events, a plot."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lolvit.files import write_atomic
from lolvit.models.checkpoint import save_checkpoint
from lolvit.version import __version__
from lolvit_training.correctness import CORRECTNESS
from lolvit_training.jackknife import JACKKNIFE
from lolvit_training.loop import Epoch, Outcome
from lolvit_training.run_files import MODEL
from lolvit_training.setup import Job

CURVES = "curves.png"


def write_results(job: Job, outcome: Outcome, processes: int) -> Path:
    """Write the model, events, curves and what comparisons of runs need of the test images into the
    run's folder; return the model's path.

    Raises:
        UserError: they can't be written.
    """
    path = job.out / MODEL
    write_events(job.out, outcome.history)
    plot_curves(job.out, outcome.history, f"{job.model} on {job.data}")
    found = outcome.evaluation
    if found.correctness is not None:
        write_atomic(job.out / CORRECTNESS, found.correctness.model_dump_json() + "\n")
    if found.jackknife is not None:
        write_atomic(job.out / JACKKNIFE, found.jackknife().model_dump_json() + "\n")
    save_checkpoint(outcome.run.final_model(), path, _config(job, outcome, processes))
    return path


def _config(job: Job, outcome: Outcome, processes: int) -> dict[str, Any]:
    """Return the metadata that is stored in the checkpoint."""
    classes = outcome.run.train_set.classes
    return {
        **job.conditions(),
        "task": job.recipe.task,
        "num_classes": len(classes),
        "trained": True,
        "preprocess": outcome.run.preprocessing.model_dump(),
        "labels": list(classes),
        "colors": outcome.run.objective.colors(outcome.run.train_set),
        "metrics": metrics(outcome),
        "processes": processes,
        "lolvit": __version__,
    }


def metrics(outcome: Outcome) -> dict[str, Any]:
    """Return the metrics of the final model on the test split."""
    return outcome.score.model_dump(exclude={"per_class"})


def as_document(job: Job, outcome: Outcome, path: Path) -> dict[str, Any]:
    """Return the document of `--json`."""
    return {
        **job.conditions(),
        "path": str(path),
        "metrics": metrics(outcome),
        "per_class": [entry.model_dump() for entry in outcome.score.per_class],
        "history": [entry.as_document() for entry in outcome.history],
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
            for name, value in entry.as_document().items():
                if name != "epoch" and not isinstance(value, list):
                    writer.add_scalar(name, value, entry.epoch)


def plot_curves(folder: Path, history: Sequence[Epoch], title: str) -> None:
    """Plot the losses, and the metrics of the test split, over epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    losses, quality = figure.subplots(1, 2)
    epochs = [entry.epoch for entry in history]
    losses.plot(epochs, [entry.loss for entry in history], label="training", marker=".")
    names = list(history[0].metrics) if history else []
    if "test_loss" in names:
        test_losses = [entry.metrics["test_loss"] for entry in history]
        losses.plot(epochs, test_losses, label="test", marker=".")
    losses.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    losses.legend(frameon=False)
    for name in [name for name in names if name != "test_loss"]:
        values = [100 * entry.metrics[name] for entry in history]
        quality.plot(epochs, values, marker=".", label=name.removeprefix("test_"))
    quality.set(xlabel="epoch", ylabel="test split (%)", ylim=(None, 100))
    quality.legend(frameon=False)
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomic(folder / CURVES, buffer.getvalue())
