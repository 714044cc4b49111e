"""The loss of a recipe: cross-entropy with label smoothing, mixup or distillation; or the
divergence from a teacher's outputs."""

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

# (images (B, 3, H, W), logits (B, classes), labels (B,), shares of mixed labels (B, classes), or a
# teacher's logits (B, classes)) -> loss
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def loss_of(
    recipe: Recipe, classes: int, preprocessing: Preprocessing, device: torch.device
) -> Loss:
    """Return the recipe's loss. Targets (B, classes) are a teacher's logits unless the recipe mixes
    labels: their loss is the Kullback-Leibler divergence of the model's probabilities.

    Raises:
        UserError: the teacher can't be loaded or has another number of classes.
    """
    augmentation = recipe.augmentation
    base_loss: nn.Module
    if augmentation.mixes:
        base_loss = SoftTargetCrossEntropy()
    else:
        base_loss = LabelSmoothingCrossEntropy(augmentation.smoothing)
    if recipe.distillation is not None:
        return _distilled(base_loss, recipe.distillation, classes, preprocessing, device)
    if augmentation.mixes:
        return lambda _images, logits, labels: base_loss(logits, labels)
    return lambda _images, logits, targets: (
        _divergence(logits, targets) if targets.ndim == 2 else base_loss(logits, targets)
    )


def _divergence(logits: Tensor, teachers: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the mean over images of KL(teacher ‖ student), in nats, of logits (B, classes) over a
    temperature."""
    own, soft = (F.log_softmax(each / temperature, dim=-1) for each in (logits, teachers))
    return F.kl_div(own, soft, reduction="batchmean", log_target=True)


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
            outputs = teacher(images * scale + shift)  # (B, classes)
        distance = _divergence(logits, outputs, temperature)
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
