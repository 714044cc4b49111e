"""A segmentation head: top-down sums of three maps with LR-ASPP's pooled gate (arXiv:1905.02244) on
the coarsest, one separable convolution, and the logits at stride 8.

No dilation and no align_corners: accelerators have neither.
"""

from __future__ import annotations

import torch
from timm.layers import ConvNormAct
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.models.heads.layers import Laterals, SeparableConv, upsample2


class PooledGate(nn.Module):
    """Scales each channel by a sigmoid of the map's mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = ConvNormAct(width, width, 1, bias=False)
        self.gate = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, h, w) -> the same shape."""
        gate: Tensor = self.gate(x.mean((2, 3), keepdim=True)).sigmoid()  # (B, width, 1, 1)
        scaled: Tensor = self.project(x) * gate
        return scaled


class ClassMap(nn.Module):
    """A segmentation model that returns each pixel's class instead of logits: an accelerator then
    hands over one integer a pixel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image (B, in_chans, H, W) -> classes (B, H, W), int32; ties go to the lower class."""
        outputs = self.model(image)
        (logits,) = outputs.values() if isinstance(outputs, dict) else (outputs,)
        size = [int(side) for side in image.shape[2:]]
        high = F.interpolate(logits, size, mode="bilinear", align_corners=False)  # (B, C, H, W)
        return {"classes": high.argmax(1).to(torch.int32)}


class SegmentationHead(nn.Module):
    """Maps at strides 8, 16 and 32 to logits at stride 8.

    In training it returns those of an auxiliary classifier on the map at stride 16 too.
    """

    strides = (8,)
    class_layers = ("classifier", "auxiliary")

    def __init__(self, channels: list[int], width: int, num_classes: int) -> None:
        super().__init__()
        self.laterals = Laterals(channels, width)
        self.gate = PooledGate(width)
        self.middle = SeparableConv(width)
        self.fine = SeparableConv(width)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        self.auxiliary = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Maps (B, C_i, H/s_i, W/s_i) -> logits (B, num_classes, H/8, W/8)."""
        fine, middle, coarse = self.laterals(maps)
        middle = self.middle(middle + upsample2(self.gate(coarse)))  # (B, width, H/16, W/16)
        logits = self.classifier(self.fine(fine + upsample2(middle)))  # (B, C, H/8, W/8)
        if self.training:
            return {"logits": logits, "auxiliary": self.auxiliary(middle)}
        return {"logits": logits}
