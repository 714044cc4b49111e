"""Build the parts of a training run; wrong input is found before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models import create_model
from lolvit.models.dense import DenseModel
from lolvit.models.factory import preprocessing_of
from lolvit.models.names import resolve_name
from lolvit.models.sizes import check_runs
from lolvit_data.table import recorded_source
from lolvit_training.distributed import ProcessGroup
from lolvit_training.fake_quantize import insert_fake_quantization
from lolvit_training.features import HeadOnFeatures
from lolvit_training.initial_weights import load_initial
from lolvit_training.objectives import Objective, TrainingSet, find_objective
from lolvit_training.recipe import Recipe
from lolvit_training.seeding import SETUP, seed_everything

# Fields of recipes that runs of earlier versions, which may be resumed, were saved without.
_LATER_FIELDS = ("task", "backbone_lr_scale", "cached_views")


@dataclass(frozen=True)
class Job:
    """The configuration of one training run."""

    model: str
    data: str
    recipe: Recipe
    out: Path
    weights: Path | None = None
    resume: bool = False
    limit: int | None = None
    workers: int = 0
    checkpoint_steps: int | None = None

    def conditions(self) -> dict[str, Any]:
        """Return the settings that must not change when a run is resumed."""
        return {
            "model": resolve_name(self.model),
            "data": recorded_source(self.data),
            "weights": self.weights.name if self.weights else None,
            "recipe": self._recipe(),
            "limit": self.limit,
        }

    def _recipe(self) -> dict[str, Any]:
        """Return the recipe, without the fields that earlier versions had not where they have their
        default values."""
        document = self.recipe.model_dump(mode="json")
        for name in _LATER_FIELDS:
            if document[name] == Recipe.model_fields[name].default:
                del document[name]
        return document


@dataclass
class Run:
    """The parts of a run. `model` is the bare network; `ddp_model` is the one to call: with
    several processes it averages their gradients. `notes`: lines about its initial weights."""

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
    notes: tuple[str, ...] = ()

    def final_model(self) -> nn.Module:
        """Return the model to save: the exponential moving average if there is one."""
        return self.model if self.ema is None else self.ema.module


def build_run(job: Job, processes: ProcessGroup) -> Run:
    """Build the parts of a run, the same in every process.

    Raises:
        UserError: data, model, image size, weights and batch size do not match.
    """
    recipe = job.recipe
    objective = find_objective(recipe.task)
    train_set, test_set = objective.open(job.data, "train"), objective.open(job.data, "test")
    if job.limit is not None:
        train_set = objective.limited(train_set, job.limit)
    images = objective.count(train_set)
    _check_classes(train_set, test_set)
    _check_batches(recipe, images, processes)
    seed_everything(SETUP, recipe.seed)
    model = create_model(
        job.model,
        len(train_set.classes),
        drop_path=recipe.drop_path,
        size=recipe.size,
        task=recipe.task,
    )
    preprocessing = preprocessing_of(model, recipe.size)
    for size in sorted({recipe.size, recipe.size_at(0)}):
        check_runs(model, size, len(preprocessing.mean), job.model)
    notes = [] if job.weights is None else load_initial(model, job.weights, train_set.classes)
    # With channels last, a CPU trains LOLViT-X, MobileViT and MobileNetV4 1.4 to 1.6 times as fast.
    model.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = images // recipe.batch_size
    optimizer = _optimizer(model, recipe)
    if recipe.quantization_aware is not None:
        insert_fake_quantization(model, recipe.quantization_aware)
    return Run(
        objective=objective,
        model=model,
        ddp_model=_called(model, recipe, processes),
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
        notes=tuple(notes),
    )


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of what is trained; the first group is the head's."""
    settings = recipe.optimizer
    trained: Any = model
    if isinstance(model, DenseModel) and recipe.backbone_lr_scale < 1:
        model.backbone.requires_grad_(recipe.backbone_lr_scale > 0)
        trained = [
            {**group, "lr_scale": scale}
            for part, scale in ((model.head, 1.0), (model.backbone, recipe.backbone_lr_scale))
            for group in param_groups_weight_decay(part, settings.weight_decay)
        ]
    return create_optimizer_v2(
        trained, opt=settings.name, lr=settings.lr, weight_decay=settings.weight_decay
    )


def _called(model: nn.Module, recipe: Recipe, processes: ProcessGroup) -> nn.Module:
    """Return what a step calls: the model, or its head alone; with several processes gradients are
    averaged.

    Raises:
        UserError: features are to be cached, and there are several processes.
    """
    if recipe.cached_views:
        assert isinstance(model, DenseModel)
        if processes.world_size > 1:
            raise UserError(
                "features of a frozen backbone are cached by one process alone",
                remedy="give --cached-views 0, or run without torchrun",
            )
        return HeadOnFeatures(model)
    return DistributedDataParallel(model) if processes.world_size > 1 else model


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
