"""The training loop: after each epoch an evaluation on the test split and an atomic checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lolvit.accuracy import AnyScore
from lolvit.errors import UserError
from lolvit.models.dense import DenseModel
from lolvit_training.batches import EpochBatchSampler, build_mixup, epoch_loader, loaded
from lolvit_training.checkpoints import check_same_run, load_last, save_last
from lolvit_training.distributed import ProcessGroup
from lolvit_training.fake_quantize import freeze_batch_norm
from lolvit_training.features import FeatureCache, Features
from lolvit_training.objectives import Evaluation, Loss
from lolvit_training.recipe import as_sides
from lolvit_training.run_files import LAST
from lolvit_training.seeding import STEP, seed_everything
from lolvit_training.setup import Job, Run, build_run

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Listener(Protocol):
    """Receives the progress of a run."""

    def log(self, line: str) -> None:
        """Log a line."""

    def progress(self, done: int, planned: int) -> None:
        """Report the steps done, of all epochs."""


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, counted from 1. `loss` is the mean over training batches, `seconds` the
    wall time of this process, `metrics` those of the test split, such as `test_top1`."""

    epoch: int
    size: tuple[int, int]
    lr: float
    loss: float
    seconds: float
    metrics: dict[str, float]

    def as_document(self) -> dict[str, Any]:
        """Return all figures by name."""
        own = asdict(self)
        metrics = own.pop("metrics")
        return {**own, "size": as_sides(self.size), **metrics}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Epoch:
        """Return the epoch whose `as_document` this is."""
        own = {name: document[name] for name in ("epoch", "lr", "loss", "seconds")}
        size = document["size"]
        height, width = (size, size) if isinstance(size, int) else size
        metrics = {k: v for k, v in document.items() if k.startswith("test_")}
        return cls(**own, size=(height, width), metrics=metrics)

    def line(self, epochs: int, described: str) -> str:
        """Return the epoch as one line of a log, with its metrics as the objective describes
        them."""
        height, width = self.size
        pixels = str(height) if height == width else f"{height}x{width}"
        return (
            f"epoch {self.epoch}/{epochs}, {pixels} px: loss {self.loss:.4f}, "
            f"{described} ({self.seconds:.0f} s)"
        )


@dataclass
class TrainState:
    """Where a run is: `step` of `epoch` is the next one; `loss_sum` and `seconds` are those of
    the epoch's earlier steps."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """A finished run, with the evaluation of its final model on the test split."""

    run: Run
    history: tuple[Epoch, ...]
    evaluation: Evaluation

    @property
    def score(self) -> AnyScore:
        """Return the final model's metrics."""
        return self.evaluation.score


def train(job: Job, processes: ProcessGroup, listener: Listener) -> Outcome:
    """Train to the end, from the start or from the last checkpoint. Only rank 0 writes.

    Raises:
        UserError: the settings do not match, the loss is not finite, or a checkpoint can't be
            written; the previous checkpoint is kept.
    """
    run = build_run(job, processes)
    for note in dict.fromkeys((*run.train_set.notes, *run.test_set.notes)):
        listener.log(note)
    state = _resume(job, run, processes, listener)
    if state == TrainState():  # a resumed run has its own weights
        for note in run.notes:
            listener.log(note)
    classes = len(run.train_set.classes)
    with _feature_cache(job, run, processes) as cache:
        loop = _Loop(
            job,
            run,
            processes,
            listener,
            run.objective.loss(job.recipe, classes, run.preprocessing, processes.device),
            build_mixup(job.recipe, classes),
            cache,
        )
        found = None
        while state.epoch < job.recipe.epochs:
            found = loop.run_epoch(state)
        if found is None:  # all epochs were done before
            found = loop.evaluate(job.recipe.size)
    run.ddp_model = run.model  # nothing may refer to the process group when it is destroyed
    return Outcome(run, tuple(state.history), found)


@contextmanager
def _feature_cache(job: Job, run: Run, processes: ProcessGroup) -> Iterator[FeatureCache | None]:
    """Give the cache of a frozen backbone's features, if the recipe has one."""
    if not job.recipe.cached_views:
        yield None
        return
    assert isinstance(run.model, DenseModel)
    cache = FeatureCache(run.model, run.objective, job.out, processes.device)
    with closing(cache):
        yield cache


def _resume(job: Job, run: Run, processes: ProcessGroup, listener: Listener) -> TrainState:
    exists = (job.out / LAST).exists()
    if exists and not job.resume and not processes.restarted:
        raise UserError(
            "already holds a run",
            where=str(job.out),
            remedy="give --resume to continue it, or another --out",
        )
    if not exists and not job.resume:
        return TrainState()
    if not exists and processes.restarted:
        return TrainState()
    saved = load_last(job.out)
    check_same_run(saved["conditions"], job.conditions(), job.out)
    run.model.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.scaler.load_state_dict(saved["scaler"])
    if run.ema is not None:
        run.ema.module.load_state_dict(saved["state_dict_ema"])
    state = TrainState(
        epoch=saved["epoch"],
        step=saved["step"],
        loss_sum=saved["loss_sum"],
        seconds=saved["seconds"],
        history=[Epoch.from_document(entry) for entry in saved["history"]],
    )
    listener.log(f"resumed at epoch {state.epoch + 1}, step {state.step}")
    return state


@dataclass(frozen=True)
class _Loop:
    job: Job
    run: Run
    processes: ProcessGroup
    listener: Listener
    loss: Loss
    mixup: Mixup | None
    cache: FeatureCache | None

    def run_epoch(self, state: TrainState) -> Evaluation:
        """Train the rest of an epoch, evaluate, and save a checkpoint."""
        start = time.monotonic()
        before = state.seconds
        self._train_mode()
        for step, images, labels in self._batches(state):
            state.loss_sum += self._step(state.epoch, step, images, labels)
            state.step = step + 1
            state.seconds = before + time.monotonic() - start
            self.listener.progress(
                state.epoch * self.run.steps + step + 1, self.job.recipe.epochs * self.run.steps
            )
            if self._is_checkpoint_due(step):
                self._save(state, state.loss_sum)
        found = self.evaluate(self.job.recipe.size_at(state.epoch))
        score = found.score
        for figure in self.run.objective.figures(score).values():
            self._check_finite(figure, state.epoch, self.run.steps)
        entry = self._entry(state, score, before + time.monotonic() - start)
        state.history.append(entry)
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        state.loss_sum = 0.0
        self._save(state, 0.0)
        described = self.run.objective.describe(entry.metrics)
        self.listener.log(entry.line(self.job.recipe.epochs, described))
        return found

    def _train_mode(self) -> None:
        recipe, model = self.job.recipe, self.run.model
        model.train()
        if recipe.quantization_aware is not None:
            freeze_batch_norm(model)
        if isinstance(model, DenseModel) and recipe.backbone_lr_scale == 0:
            model.backbone.eval()

    def evaluate(self, size: tuple[int, int]) -> Evaluation:
        """Evaluate the final model on the test split at this size: with progressive resizing early
        epochs have only seen smaller images."""
        return self.run.objective.evaluate(
            self.run.final_model(),
            self.run.test_set,
            self.run.preprocessing.model_copy(update={"size": size}),
            self.processes,
            self.job.workers,
        )

    def _entry(self, state: TrainState, score: AnyScore, seconds: float) -> Epoch:
        mean = self.processes.all_reduce(np.array([state.loss_sum]))[0] / (
            self.run.steps * self.processes.world_size
        )
        return Epoch(
            epoch=state.epoch + 1,
            size=self.job.recipe.size_at(state.epoch),
            lr=float(self.run.optimizer.param_groups[0]["lr"]),
            loss=float(mean),
            seconds=seconds,
            metrics=self.run.objective.figures(score),
        )

    def _batches(self, state: TrainState) -> Iterator[tuple[int, Tensor | Features, Tensor]]:
        recipe, objective = self.job.recipe, self.run.objective
        count = objective.count(self.run.train_set)
        batches = EpochBatchSampler(count, recipe, state.epoch, state.step, self.processes)
        samples = objective.samples(
            self.run.train_set, recipe, self.run.preprocessing, recipe.size_at(state.epoch)
        )
        joined: Iterator[tuple[Tensor | Features, Tensor]]
        if self.cache is None:
            joined = loaded(epoch_loader(samples, batches, self.job.workers, objective.join))
        else:
            view = state.epoch % recipe.cached_views
            if not self.cache.has(view):
                self.listener.log(f"features of view {view + 1} of {recipe.cached_views}")
                self.cache.compute(samples, count, view, self.job.workers)
            joined = self.cache.batches(batches, view)
        for step, (images, labels) in enumerate(joined, state.step):
            yield step, images.to(self.processes.device), labels.to(self.processes.device)

    def _step(self, epoch: int, step: int, images: Tensor | Features, labels: Tensor) -> float:
        """Update the weights once; return the batch's mean loss."""
        recipe, run = self.job.recipe, self.run
        seed_everything(STEP, recipe.seed, epoch, step, self.processes.rank)
        run.schedule.step_update(epoch * run.steps + step)
        run.optimizer.zero_grad()
        total = 0.0
        parts = list(
            zip(images.chunk(recipe.accumulation), labels.chunk(recipe.accumulation), strict=True)
        )
        for number, (part, target) in enumerate(parts):
            if self.mixup is not None:
                part, target = self.mixup(part, target)
            with self._no_sync_before(last=number + 1 == len(parts)):
                with self._autocast():
                    loss = self.loss(part, run.ddp_model(part), target) / len(parts)
                run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self._check_finite(total, epoch, step)
        run.scaler.unscale_(run.optimizer)
        if recipe.optimizer.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.optimizer.clip_grad)
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if run.ema is not None:
            run.ema.update(run.model, step=epoch * run.steps + step)
        return total

    def _no_sync_before(self, *, last: bool) -> AbstractContextManager[None]:
        """Synchronize gradients only at the last accumulation step."""
        model = self.run.ddp_model
        if last or not isinstance(model, DistributedDataParallel):
            return nullcontext()
        no_sync: AbstractContextManager[None] = model.no_sync()
        return no_sync

    def _autocast(self) -> AbstractContextManager[None]:
        dtype = _AUTOCAST.get(self.job.recipe.amp)
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.processes.device.type, dtype=dtype)

    def _check_finite(self, loss: float, epoch: int, step: int) -> None:
        if math.isfinite(loss):
            return
        last = self.job.out / LAST
        kept = f"the last checkpoint is {last}" if last.exists() else "none was saved yet"
        raise UserError(
            f"the loss is {loss} at epoch {epoch + 1}, step {step}; {kept}",
            remedy="lower --lr, or clip gradients in the recipe",
        )

    def _is_checkpoint_due(self, step: int) -> bool:
        every = self.job.checkpoint_steps
        return every is not None and (step + 1) % every == 0 and step + 1 < self.run.steps

    def _save(self, state: TrainState, loss_sum: float) -> None:
        """Save the run. `loss_sum` is per process: each resumes with the mean over processes."""
        mean = self.processes.all_reduce(np.array([loss_sum]))[0] / self.processes.world_size
        if self.processes.is_main:
            saved: dict[str, Any] = {
                "conditions": self.job.conditions(),
                "model": self.run.model.state_dict(),
                "optimizer": self.run.optimizer.state_dict(),
                "scaler": self.run.scaler.state_dict(),
                "epoch": state.epoch,
                "step": state.step,
                "loss_sum": float(mean),
                "seconds": state.seconds,
                "history": [entry.as_document() for entry in state.history],
            }
            if self.run.ema is not None:
                saved["state_dict_ema"] = self.run.ema.module.state_dict()
            save_last(self.job.out, saved)
