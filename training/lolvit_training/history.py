"""The course of a run: a line an epoch, events for tensorboard, and a plot at the end."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from lolvit.files import write_atomic

CURVES = "curves.png"


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, counted from 1; loss is the mean of the training batches, seconds those
    of the process."""

    epoch: int
    size: int
    lr: float
    loss: float
    test_loss: float
    test_top1: float
    seconds: float

    def line(self, epochs: int) -> str:
        """Return the epoch as one line."""
        return (
            f"epoch {self.epoch}/{epochs}, {self.size} px: loss {self.loss:.4f}, "
            f"test loss {self.test_loss:.4f}, top-1 {self.test_top1:.2%} ({self.seconds:.0f} s)"
        )


def write_events(folder: Path, history: Sequence[Epoch]) -> None:
    """Write all epochs as tensorboard's events, in the place of those that were there: a run that
    was resumed has one curve."""
    # Where TensorFlow is installed tensorboard would load it, unless its own switch says no.
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
    """Write a plot of both losses and of the accuracy over epochs."""
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
