"""Build the parts of a training run; wrong input is found before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models import create_model
from lolvit.models.checkpoint import load_weights, read_state
from lolvit.models.dense import DenseModel, backbone_state
from lolvit.models.factory import CLASSIFICATION, preprocessing_of
from lolvit.models.names import resolve_name
from lolvit.models.prefixes import match_names
from lolvit.weights import find_weights
from lolvit_data.table import recorded_source
from lolvit_training.distributed import ProcessGroup
from lolvit_training.fake_quantize import insert_fake_quantization
from lolvit_training.objectives import Objective, TrainingSet, find_objective
from lolvit_training.recipe import Recipe
from lolvit_training.seeding import SETUP, seed_everything


@dataclass(frozen=True)
class Job:
    """The configuration of one training run."""

    model: str
    data: str
    recipe: Recipe
    out: Path
    weights: Path | None = None
    resume: bool = False
    workers: int = 0
    checkpoint_steps: int | None = None

    def conditions(self) -> dict[str, Any]:
        """Return the settings that must not change when a run is resumed."""
        return {
            "model": resolve_name(self.model),
            "data": recorded_source(self.data),
            "weights": self.weights.name if self.weights else None,
            "recipe": self._recipe(),
        }

    def _recipe(self) -> dict[str, Any]:
        """Return the recipe; those of classifiers had no task in earlier versions."""
        document = self.recipe.model_dump(mode="json")
        if self.recipe.task == CLASSIFICATION:
            del document["task"]
        return document


@dataclass
class Run:
    """The parts of a run. `model` is the bare network; `ddp_model` is the one to call: with
    several processes it averages their gradients."""

    objective: Objective
    model: nn.Module
    ddp_model: nn.Module
    train_set: TrainingSet
    test_set: TrainingSet
    preprocessing: Preprocessing
    optimizer: torch.optim.Optimizer
    schedule: Scheduler
    ema: ModelEmaV3 | None
    scaler: torch.amp.GradScaler
    steps: int

    def final_model(self) -> nn.Module:
        """Return the model to save: the exponential moving average if there is one."""
        return self.model if self.ema is None else self.ema.module


def build_run(job: Job, processes: ProcessGroup) -> Run:
    """Build the parts of a run, the same in every process.

    Raises:
        UserError: data, model, weights and batch size do not match.
    """
    recipe = job.recipe
    objective = find_objective(recipe.task)
    train_set, test_set = objective.open(job.data, "train"), objective.open(job.data, "test")
    images = objective.count(train_set)
    _check_classes(train_set, test_set)
    _check_batches(recipe, images, processes)
    seed_everything(SETUP, recipe.seed)
    size = (recipe.size, recipe.size)
    model = create_model(
        job.model,
        len(train_set.classes),
        drop_path=recipe.drop_path,
        size=size,
        task=recipe.task,
    )
    if job.weights is not None:
        _load_backbone(model, job.weights)
    model.to(processes.device)
    steps = images // recipe.batch_size
    optimizer = create_optimizer_v2(
        model,
        opt=recipe.optimizer.name,
        lr=recipe.optimizer.lr,
        weight_decay=recipe.optimizer.weight_decay,
    )
    if recipe.quantization_aware is not None:
        insert_fake_quantization(model, recipe.quantization_aware)
    preprocessing = preprocessing_of(model, size)
    return Run(
        objective=objective,
        model=model,
        ddp_model=DistributedDataParallel(model) if processes.world_size > 1 else model,
        train_set=train_set,
        test_set=test_set,
        preprocessing=preprocessing.model_copy(update={"crop_pct": recipe.crop_pct}),
        optimizer=optimizer,
        schedule=_schedule(recipe, optimizer, steps),
        ema=ModelEmaV3(model, decay=recipe.ema_decay, use_warmup=True)
        if recipe.ema_decay
        else None,
        scaler=torch.amp.GradScaler(processes.device.type, enabled=recipe.amp == "fp16"),
        steps=steps,
    )


def _check_classes(train_set: TrainingSet, test_set: TrainingSet) -> None:
    if train_set.classes != test_set.classes:
        only = sorted(set(train_set.classes) ^ set(test_set.classes))
        shown = only[:4]
        if not all(name.isascii() for name in shown):  # letters of two alphabets may look alike
            shown = [ascii(name) for name in shown]
        raise UserError(
            f"its splits have different classes: {', '.join(shown) or 'another order'}",
            where=train_set.name,
            remedy="give both splits the same class folders",
        )


def _check_batches(recipe: Recipe, images: int, processes: ProcessGroup) -> None:
    size, parts = recipe.batch_size, processes.world_size * recipe.accumulation
    if size % parts:
        raise UserError(
            f"a batch of {size} can't be split over {processes.world_size} processes in "
            f"{recipe.accumulation} accumulation steps",
            remedy=f"give --batch-size a multiple of {parts}",
        )
    if recipe.augmentation.mixes and (size // parts) % 2:
        raise UserError(
            f"mixup and cutmix need an even number of images per step, not {size // parts}",
            remedy=f"give --batch-size a multiple of {2 * parts}",
        )
    if images < size:
        raise UserError(
            f"{images} training images are fewer than a batch of {size}",
            remedy=f"give --batch-size {max(1, images // parts) * parts} or less",
        )


def _load_backbone(model: nn.Module, path: Path) -> None:
    """Load a checkpoint; classifiers with another number of classes keep their initialization, and
    so does a head on the backbone of a checkpoint without it.

    Raises:
        UserError: the checkpoint is of another model.
    """
    if isinstance(model, DenseModel):
        state, _ = read_state(find_weights(path))
        if not any(name.startswith("backbone.") for name in state):
            _load_classifiers_backbone(model, state, path)
            return
    own = model.state_dict()
    state = match_names(read_state(find_weights(path))[0], own).state
    classifiers = getattr(model, "default_cfg", {}).get("classifier") or ()
    heads = [
        [f"{classifier}.{part}" for part in ("weight", "bias")]
        for classifier in ([classifiers] if isinstance(classifiers, str) else classifiers)
    ]
    for head in heads:
        if all(n in state and n in own and state[n].shape != own[n].shape for n in head):
            state |= {name: own[name] for name in head}
    load_weights(model, state, where=str(path))


def _load_classifiers_backbone(model: DenseModel, state: Mapping[str, Tensor], path: Path) -> None:
    found, wanted = backbone_state(model, state), model.backbone.state_dict()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"does not fit the backbone: it lacks {missing[0]}", where=str(path),
            remedy="give a checkpoint of the same model",
        )  # fmt: skip
    model.backbone.load_state_dict(found)


def _schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> Scheduler:
    schedule: Scheduler | None
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.schedule.name,
        num_epochs=recipe.epochs,
        warmup_epochs=min(recipe.schedule.warmup_epochs, recipe.epochs - 1),
        warmup_lr=recipe.schedule.warmup_lr,
        min_lr=recipe.schedule.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    assert schedule is not None
    return schedule
