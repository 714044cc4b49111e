"""The backbone: a stem at stride 4, four stages at strides 4, 8, 16 and 32, and a classifier."""

from __future__ import annotations

from itertools import pairwise

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from lolvit.models.attention import FusionBlock
from lolvit.models.blocks import ConvNorm, Downsample, GhostBottleneck, Stem
from lolvit.variants import Stage, Variant

STEM_STRIDE = 4


class Lolvit(nn.Module):
    """Image (B, in_chans, H, W) -> logits (B, num_classes); any H and W of at least 32 pixels.

    Follows timm's model interface: `forward_features`, `forward_head`, `get_classifier`,
    `reset_classifier`, `feature_info`.
    """

    def __init__(
        self,
        cfg: Variant,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.grad_checkpointing = False
        self.stem = Stem(in_chans, cfg.stem)
        self.stages = nn.Sequential(*_stages(cfg, drop_path_rate))
        self.feature_info = [
            {"num_chs": stage.width, "reduction": STEM_STRIDE * 2**i, "module": f"stages.{i}"}
            for i, stage in enumerate(cfg.stages)
        ]
        self.num_features = self.head_hidden_size = cfg.stages[-1].width
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.apply(_init_weights)

    def forward_features(self, x: Tensor) -> Tensor:
        """Image (B, in_chans, H, W) -> last feature map (B, C, H/32, W/32)."""
        return torch.relu(self.stages(self.stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Feature map (B, C, h, w) -> logits (B, num_classes), or pooled (B, C) if `pre_logits`."""
        pooled: Tensor = self.head_drop(x.mean(dim=(-2, -1)))  # (B, C)
        if pre_logits:
            return pooled
        logits: Tensor = self.head(pooled)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one; 0 classes leaves the pooled features."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.head.apply(_init_weights)


def _stages(variant: Variant, drop_path_rate: float) -> list[nn.Sequential]:
    """Build the stages; stochastic depth grows linearly with depth."""
    rates = torch.linspace(0, drop_path_rate, sum(s.depth for s in variant.stages)).tolist()
    widths = (variant.stem, *(stage.width for stage in variant.stages))
    stages = []
    for index, (stage, (before, after)) in enumerate(
        zip(variant.stages, pairwise(widths), strict=True)
    ):
        entry: list[nn.Module] = []
        if index > 0:
            entry = [Downsample(before, after)]
        elif before != after:
            entry = [ConvNorm(before, after)]
        blocks = [_block(stage, rates.pop(0)) for _ in range(stage.depth)]
        stages.append(nn.Sequential(*entry, *blocks))
    return stages


def _block(stage: Stage, drop_path: float) -> nn.Module:
    if stage.heads:
        return FusionBlock(stage.width, stage.expansion, stage.heads, stage.head_dim, drop_path)
    return GhostBottleneck(stage.width, stage.expansion, drop_path)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
