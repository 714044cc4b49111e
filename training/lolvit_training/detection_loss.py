"""The loss of a detector: task-aligned assignment (TOOD, arXiv:2108.07755), binary cross-entropy
with soft targets for scores, GIoU (arXiv:1902.09630) for boxes.

The alignment of a point with an object is t = score^α · IoU^β, of the score of the object's class
and the IoU of the point's box. Each object takes the points inside it with the highest t; a point
that several take belongs to the one with the largest IoU. Its target is t, scaled so that an
object's largest is its largest IoU: scores learn how good their boxes are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss

from lolvit.boxes import points_of
from lolvit_training.features import Features

ALPHA, BETA, TOP_POINTS = 1.0, 6.0, 13  # as in the paper
BOX_WEIGHT = 2.0
# Least weight of the box of a point that an object takes. Weighted by its target alone, as in the
# paper, an object that is found badly gets nearly no gradient, and stays so.
LEAST_BOX_WEIGHT = 0.3
# Columns of a target: class (-1: no object), box in pixels, crowd (0 or 1).
CLASS, BOX, CROWD, COLUMNS = 0, slice(1, 5), 5, 6
_EPSILON = 1e-9


@dataclass(frozen=True)
class Assignment:
    """For each point of a batch: the soft target of each class (B, N, C), the box of its object
    (B, N, 4), and the weight of its box (B, N), 0 for background."""

    scores: Tensor
    boxes: Tensor
    weights: Tensor


class DetectionLoss:
    """Callable: images (B, 3, H, W) or their features, outputs `boxes` (B, 4, N) and `logits`
    (B, C, N), targets (B, M, 6) -> the loss. Points inside a crowd's box are left out."""

    def __init__(self, strides: tuple[int, ...]) -> None:
        self.strides = strides

    def __call__(
        self, images: Tensor | Features, outputs: dict[str, Tensor], targets: Tensor
    ) -> Tensor:
        """Return the mean loss of a batch."""
        logits = outputs["logits"].float().transpose(1, 2)  # (B, N, C)
        centres, strides = (
            torch.from_numpy(each).to(logits) for each in points_of(_size(images), self.strides)
        )
        boxes = decode(outputs["boxes"].float().transpose(1, 2), centres, strides)  # (B, N, 4)
        with torch.no_grad():
            found = assign(logits.sigmoid(), boxes, centres, targets.float())
            counted = ~_in_crowds(centres, targets.float())  # (B, N)
        normalizer = found.weights.sum().clamp(min=1)
        entropy = F.binary_cross_entropy_with_logits(logits, found.scores, reduction="none")
        score_loss = (entropy.sum(2) * counted).sum() / normalizer
        positive = found.weights > 0
        distances: Tensor = generalized_box_iou_loss(boxes[positive], found.boxes[positive])
        box_loss = (distances * found.weights[positive]).sum() / normalizer
        return score_loss + BOX_WEIGHT * box_loss


def _size(images: Tensor | Features) -> tuple[int, int]:
    return int(images.shape[2]), int(images.shape[3])


def decode(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Return the boxes (B, N, 4) of distances (B, N, 4) in units of the stride."""
    lengths = distances * strides[:, None]
    return torch.cat([centres - lengths[..., :2], centres + lengths[..., 2:]], -1)


def assign(scores: Tensor, boxes: Tensor, centres: Tensor, targets: Tensor) -> Assignment:
    """Assign the points of each image of a batch to its objects."""
    found = [_assign_one(*each, centres) for each in zip(scores, boxes, targets, strict=True)]
    parts = [torch.stack(each) for each in zip(*found, strict=True)]
    return Assignment(*parts)


def _assign_one(
    scores: Tensor, boxes: Tensor, targets: Tensor, centres: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign one image's points: scores (N, C), boxes (N, 4), targets (M, 6)."""
    objects = targets[(targets[:, CLASS] >= 0) & (targets[:, CROWD] == 0)]
    soft, matched = torch.zeros_like(scores), torch.zeros_like(boxes)
    weights = scores.new_zeros(len(scores))
    if not len(objects):
        return soft, matched, weights
    labels, truth = objects[:, CLASS].long(), objects[:, BOX]
    overlaps = box_iou(truth, boxes)  # (M, N)
    alignment = scores[:, labels].T.pow(ALPHA) * overlaps.pow(BETA)  # (M, N)
    inside = _inside(centres, truth)  # (M, N)
    ranked = torch.where(inside, alignment, -1.0)
    top = ranked.topk(min(TOP_POINTS, ranked.shape[1]), 1).indices  # (M, K)
    taken = torch.zeros_like(inside).scatter_(1, top, True) & inside
    # A point that several objects take belongs to the one with the largest overlap.
    owner = torch.where(taken, overlaps, -1.0).argmax(0)  # (N,)
    taken &= torch.arange(len(objects), device=owner.device)[:, None] == owner
    aligned = torch.where(taken, alignment, 0.0)
    largest = aligned.amax(1, keepdim=True)  # (M, 1)
    best = torch.where(taken, overlaps, 0.0).amax(1, keepdim=True)
    target = (aligned / (largest + _EPSILON) * best).amax(0)  # (N,)
    positive = taken.any(0)
    soft[positive, labels[owner[positive]]] = target[positive]
    matched[positive] = truth[owner[positive]]
    weights[positive] = target[positive].clamp(min=LEAST_BOX_WEIGHT)
    return soft, matched, weights


def _inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Whether each of the centres (N, 2) lies in each box (M, 4): (M, N). The one nearest to a
    box's centre counts as inside: a small object has no other."""
    corner = centres[None] - boxes[:, None, :2]
    other = boxes[:, None, 2:] - centres[None]
    inside: Tensor = torch.cat([corner, other], 2).amin(2) > 0
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    nearest = torch.cdist(middle, centres).argmin(1, keepdim=True)
    return inside.scatter(1, nearest, True)


def _in_crowds(centres: Tensor, targets: Tensor) -> Tensor:
    """Whether each point lies in a crowd's box: (B, N)."""
    crowds = (targets[..., CLASS] >= 0) & (targets[..., CROWD] == 1)  # (B, M)
    if not bool(crowds.any()):
        return torch.zeros(len(targets), len(centres), dtype=torch.bool, device=targets.device)
    boxes = targets[..., BOX]
    corner = centres[None, None] - boxes[:, :, None, :2]
    other = boxes[:, :, None, 2:] - centres[None, None]
    within = torch.cat([corner, other], 3).amin(3) > 0  # (B, M, N)
    found: Tensor = (within & crowds[..., None]).any(1)
    return found
