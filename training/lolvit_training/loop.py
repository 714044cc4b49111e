"""Train: epochs of steps, each followed by a count on the test split and an atomic checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lolvit.accuracy import Score
from lolvit.errors import UserError
from lolvit_training.batches import EpochBatches, epoch_loader, mixing
from lolvit_training.checkpoints import LAST, load_last, refuse_other_run, save_last
from lolvit_training.fake_quantize import freeze_norms
from lolvit_training.history import Epoch
from lolvit_training.losses import Loss, loss_of
from lolvit_training.processes import Processes
from lolvit_training.randomness import STEP, seed_everything
from lolvit_training.scoring import score_eager
from lolvit_training.setup import Job, Run, set_up

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Listener(Protocol):
    """Whoever wants to know how a run goes."""

    def say(self, line: str) -> None:
        """A line for the user."""

    def progress(self, done: int, planned: int) -> None:
        """Steps of all epochs."""


@dataclass
class Position:
    """How far a run is: `step` of `epoch` is the next one; `loss_sum` and `seconds` are those of
    the epoch's earlier steps."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """A finished run; `score` is that of its result on the test split."""

    run: Run
    history: tuple[Epoch, ...]
    score: Score


def train(job: Job, processes: Processes, listener: Listener) -> Outcome:
    """Train from where the run stands to its end. Only the first process writes.

    Raises:
        UserError: the parts do not fit, the loss is not finite, or a checkpoint can't be written:
            the last good one stands.
    """
    run = set_up(job, processes)
    position = _resume(job, run, processes, listener)
    loop = _Loop(
        job,
        run,
        processes,
        listener,
        loss_of(job.recipe, len(run.train_set.classes), run.preprocessing, processes.device),
        mixing(job.recipe, len(run.train_set.classes)),
    )
    score = None
    while position.epoch < job.recipe.epochs:
        score = loop.run_epoch(position)
    if score is None:  # it was finished before
        score = loop.score(job.recipe.size)
    run.trained = run.model  # nothing may hold the processes' group when they leave it
    return Outcome(run, tuple(position.history), score)


def _resume(job: Job, run: Run, processes: Processes, listener: Listener) -> Position:
    exists = (job.out / LAST).exists()
    if exists and not job.resume and not processes.restarted:
        raise UserError(
            "holds a run", where=str(job.out), remedy="give --resume to go on, or another --out"
        )
    if not exists and not job.resume:
        return Position()
    if not exists and processes.restarted:
        return Position()
    state = load_last(job.out)
    refuse_other_run(state["conditions"], job.conditions(), job.out)
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    if run.ema is not None:
        run.ema.module.load_state_dict(state["state_dict_ema"])
    position = Position(
        epoch=state["epoch"],
        step=state["step"],
        loss_sum=state["loss_sum"],
        seconds=state["seconds"],
        history=[Epoch(**entry) for entry in state["history"]],
    )
    listener.say(f"resumed at epoch {position.epoch + 1}, step {position.step}")
    return position


@dataclass(frozen=True)
class _Loop:
    job: Job
    run: Run
    processes: Processes
    listener: Listener
    loss: Loss
    mix: Mixup | None

    def run_epoch(self, position: Position) -> Score:
        """Train one epoch from `position` on, count, and save."""
        start = time.monotonic()
        before = position.seconds
        self.run.model.train()
        if self.job.recipe.quantization_aware is not None:
            freeze_norms(self.run.model)
        for step, images, labels in self._batches(position):
            position.loss_sum += self._step(position.epoch, step, images, labels)
            position.step = step + 1
            position.seconds = before + time.monotonic() - start
            self.listener.progress(
                position.epoch * self.run.steps + step + 1, self.job.recipe.epochs * self.run.steps
            )
            if self._is_due(step):
                self._save(position, position.loss_sum)
        score = self.score(self.job.recipe.size_at(position.epoch))
        self._refuse_not_finite(score.loss, position.epoch, self.run.steps)
        entry = self._entry(position, score, before + time.monotonic() - start)
        position.history.append(entry)
        position.epoch, position.step, position.seconds = position.epoch + 1, 0, 0.0
        position.loss_sum = 0.0
        self._save(position, 0.0)
        self.listener.say(entry.line(self.job.recipe.epochs))
        return score

    def score(self, side: int) -> Score:
        """Return the score of the run's result on the test split, at `side` pixels: early epochs
        know no larger images."""
        return score_eager(
            self.run.result(),
            self.run.test_set,
            self.run.preprocessing.model_copy(update={"size": (side, side)}),
            self.processes,
            workers=self.job.workers,
        )

    def _entry(self, position: Position, score: Score, seconds: float) -> Epoch:
        mean = self.processes.total(np.array([position.loss_sum]))[0] / (
            self.run.steps * self.processes.count
        )
        return Epoch(
            epoch=position.epoch + 1,
            size=self.job.recipe.size_at(position.epoch),
            lr=float(self.run.optimizer.param_groups[0]["lr"]),
            loss=float(mean),
            test_loss=score.loss,
            test_top1=score.top1,
            seconds=seconds,
        )

    def _batches(self, position: Position) -> Iterator[tuple[int, Tensor, Tensor]]:
        batches = EpochBatches(
            len(self.run.train_set.labels),
            self.job.recipe,
            position.epoch,
            position.step,
            self.processes,
        )
        loader = epoch_loader(
            self.run.train_set, self.job.recipe, self.run.preprocessing, batches, self.job.workers
        )
        for step, (images, labels) in enumerate(loader, position.step):
            yield step, images.to(self.processes.device), labels.to(self.processes.device)

    def _step(self, epoch: int, step: int, images: Tensor, labels: Tensor) -> float:
        """Update the weights once; return the batch's mean loss."""
        recipe, run = self.job.recipe, self.run
        seed_everything(STEP, recipe.seed, epoch, step, self.processes.rank)
        run.schedule.step_update(epoch * run.steps + step)
        run.optimizer.zero_grad()
        total = 0.0
        parts = list(
            zip(images.chunk(recipe.accumulation), labels.chunk(recipe.accumulation), strict=True)
        )
        for number, (part, wanted) in enumerate(parts):
            if self.mix is not None:
                part, wanted = self.mix(part, wanted)
            with self._averaging_held(last=number + 1 == len(parts)):
                with self._autocast():
                    loss = self.loss(part, run.trained(part), wanted) / len(parts)
                run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self._refuse_not_finite(total, epoch, step)
        run.scaler.unscale_(run.optimizer)
        if recipe.optimizer.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.optimizer.clip_grad)
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if run.ema is not None:
            run.ema.update(run.model, step=epoch * run.steps + step)
        return total

    def _averaging_held(self, *, last: bool) -> AbstractContextManager[None]:
        """Let processes average gradients with the last part of a batch alone."""
        trained = self.run.trained
        if last or not isinstance(trained, DistributedDataParallel):
            return nullcontext()
        held: AbstractContextManager[None] = trained.no_sync()
        return held

    def _autocast(self) -> AbstractContextManager[None]:
        dtype = _AUTOCAST.get(self.job.recipe.amp)
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.processes.device.type, dtype=dtype)

    def _refuse_not_finite(self, loss: float, epoch: int, step: int) -> None:
        if math.isfinite(loss):
            return
        last = self.job.out / LAST
        kept = f"the last good checkpoint is {last}" if last.exists() else "none was saved yet"
        raise UserError(
            f"the loss is {loss} at epoch {epoch + 1}, step {step}; {kept}",
            remedy="lower --lr, or clip gradients in the recipe",
        )

    def _is_due(self, step: int) -> bool:
        every = self.job.checkpoint_steps
        return every is not None and (step + 1) % every == 0 and step + 1 < self.run.steps

    def _save(self, position: Position, loss_sum: float) -> None:
        """Save the run. `loss_sum` is per process: the mean over processes goes on in each."""
        mean = self.processes.total(np.array([loss_sum]))[0] / self.processes.count
        if self.processes.first:
            state: dict[str, Any] = {
                "conditions": self.job.conditions(),
                "model": self.run.model.state_dict(),
                "optimizer": self.run.optimizer.state_dict(),
                "scaler": self.run.scaler.state_dict(),
                "epoch": position.epoch,
                "step": position.step,
                "loss_sum": float(mean),
                "seconds": position.seconds,
                "history": [asdict(entry) for entry in position.history],
            }
            if self.run.ema is not None:
                state["state_dict_ema"] = self.run.ema.module.state_dict()
            save_last(self.job.out, state)
