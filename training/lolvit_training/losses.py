"""The loss of a recipe: cross-entropy with label smoothing, mixup or distillation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.loading import load_checkpoint, number_of_classes
from lolvit_training.recipe import Distillation, Recipe

# (images (B, 3, H, W), logits (B, classes), labels (B,) or (B, classes)) -> loss
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def loss_of(
    recipe: Recipe, classes: int, preprocessing: Preprocessing, device: torch.device
) -> Loss:
    """Return the recipe's loss.

    Raises:
        UserError: the teacher can't be loaded or has another number of classes.
    """
    augmentation = recipe.augmentation
    base_loss: nn.Module
    if augmentation.mixes:
        base_loss = SoftTargetCrossEntropy()
    else:
        base_loss = LabelSmoothingCrossEntropy(augmentation.smoothing)
    if recipe.distillation is None:
        return lambda _images, logits, labels: base_loss(logits, labels)
    return _distilled(base_loss, recipe.distillation, classes, preprocessing, device)


def _distilled(
    base_loss: nn.Module,
    distillation: Distillation,
    classes: int,
    preprocessing: Preprocessing,
    device: torch.device,
) -> Loss:
    loaded = load_checkpoint(distillation.teacher, Path(distillation.weights))
    if number_of_classes(loaded.model) != classes:
        raise UserError(
            f"the teacher has {number_of_classes(loaded.model)} classes, the data {classes}",
            where=distillation.weights,
            remedy="train the teacher on the same data",
        )
    teacher = loaded.model.to(device).requires_grad_(False)
    scale, shift = _renormalization(preprocessing, loaded.preprocessing(), device)
    alpha, temperature = distillation.alpha, distillation.temperature

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            soft = F.log_softmax(teacher(images * scale + shift) / temperature, dim=-1)
        student = F.log_softmax(logits / temperature, dim=-1)  # (B, classes)
        distance = F.kl_div(student, soft, reduction="batchmean", log_target=True)
        result: Tensor = (1 - alpha) * base_loss(logits, labels) + alpha * temperature**2 * distance
        return result

    return loss


def _renormalization(
    own: Preprocessing, teachers: Preprocessing, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return scale and shift, (1, 3, 1, 1) each, from the student's normalization to the
    teacher's."""
    mean, std, t_mean, t_std = (
        torch.tensor(values, device=device).reshape(1, 3, 1, 1)
        for values in (own.mean, own.std, teachers.mean, teachers.std)
    )
    return std / t_std, (mean - t_mean) / t_std
