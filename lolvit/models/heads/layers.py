"""Layers that the heads share. All are convolutions, additions and nearest upsampling: every
exporter, accelerator and quantizer has them."""

from __future__ import annotations

from timm.layers import ConvNormAct
from torch import Tensor, nn
from torch.nn import functional as F


class SeparableConv(nn.Sequential):
    """Depthwise 3 x 3, then 1 x 1, each with BatchNorm and ReLU."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__(
            ConvNormAct(channels, channels, 3, stride=stride, groups=channels, bias=False),
            ConvNormAct(channels, channels, 1, bias=False),
        )


class Laterals(nn.ModuleList):
    """A 1 x 1 convolution for each of the backbone's maps, to a common width."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__(ConvNormAct(each, width, 1, bias=False) for each in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, C_i, H/s_i, W/s_i) -> maps (B, width, H/s_i, W/s_i)."""
        return [lateral(x) for lateral, x in zip(self, maps, strict=True)]


def upsample2(x: Tensor) -> Tensor:
    """Map (B, C, h, w) -> (B, C, 2 h, 2 w), nearest."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
