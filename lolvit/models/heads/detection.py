"""An anchor-free detection head: a path-aggregation neck (PAN, arXiv:1803.01534) of separable
convolutions, and per level two more with a 1 x 1 each for class scores and box distances.

Boxes are four distances in units of the stride, without a distribution over bins: fewer channels,
and a range that quantizes. Scores and boxes are separate outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lolvit.models.heads.layers import Laterals, SeparableConv, upsample2

PRIOR = 0.01  # probability of a class at every point, before training (arXiv:1708.02002)
PRIOR_DISTANCE = 3.0  # in units of the stride: ReLU is active everywhere


class PathAggregation(nn.Module):
    """Top-down, then bottom-up sums of three maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.top_down = nn.ModuleList([SeparableConv(width), SeparableConv(width)])
        self.down = nn.ModuleList([SeparableConv(width, 2), SeparableConv(width, 2)])
        self.bottom_up = nn.ModuleList([SeparableConv(width), SeparableConv(width)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, width, H/s, W/s) at strides 8, 16, 32 -> the same shapes."""
        fine, middle, coarse = maps
        middle = self.top_down[0](middle + upsample2(coarse))  # (B, width, H/16, W/16)
        fine = self.top_down[1](fine + upsample2(middle))  # (B, width, H/8, W/8)
        middle = self.bottom_up[0](middle + self.down[0](fine))
        coarse = self.bottom_up[1](coarse + self.down[1](middle))  # (B, width, H/32, W/32)
        return [fine, middle, coarse]


class Level(nn.Module):
    """The head of one level."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(SeparableConv(width), SeparableConv(width))
        self.scores = nn.Conv2d(width, num_classes, 1)
        self.boxes = nn.Conv2d(width, 4, 1)
        for layer in (self.scores, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
        assert self.scores.bias is not None and self.boxes.bias is not None
        nn.init.constant_(self.scores.bias, -math.log((1 - PRIOR) / PRIOR))
        nn.init.constant_(self.boxes.bias, PRIOR_DISTANCE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, width, h, w) -> distances (B, 4, h w) and class logits (B, C, h w)."""
        x = self.features(x)  # (B, width, h, w)
        return self.boxes(x).relu().flatten(2), self.scores(x).flatten(2)


class DetectionHead(nn.Module):
    """Maps at strides 8, 16 and 32 to boxes and scores of all N = sum of h w points.

    In training it returns `logits` instead of `scores`, for a loss that is stable.
    """

    strides = (8, 16, 32)
    class_layers = tuple(f"levels.{level}.scores" for level in range(len(strides)))

    def __init__(self, channels: list[int], width: int, num_classes: int) -> None:
        super().__init__()
        self.laterals = Laterals(channels, width)
        self.neck = PathAggregation(width)
        self.levels = nn.ModuleList(Level(width, num_classes) for _ in channels)

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Maps (B, C_i, H/s_i, W/s_i) -> boxes (B, 4, N) in strides, and scores (B, C, N)."""
        found = [
            level(x) for level, x in zip(self.levels, self.neck(self.laterals(maps)), strict=True)
        ]
        boxes = torch.cat([distances for distances, _ in found], 2)  # (B, 4, N)
        if self.training:
            return {"boxes": boxes, "logits": torch.cat([logits for _, logits in found], 2)}
        # A sigmoid per level: quantized, each has its own input scale.
        return {"boxes": boxes, "scores": torch.cat([each.sigmoid() for _, each in found], 2)}
