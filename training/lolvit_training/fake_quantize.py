"""Quantization-aware training: while a model trains, convolutions and linear layers see weights and
inputs rounded as an integer artifact rounds them; gradients pass the rounding unchanged
(Jacob et al., arXiv:1712.05877).

Weights are rounded per output channel, symmetrically, which folding BatchNorm into them does not
change; inputs per tensor, over the range of the batch, so that a run has no state but its weights.
The result is an ordinary float checkpoint, which `lolvit export --precision int8` quantizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lolvit_training.recipe import QuantizationAware

_SMALLEST = 1e-12  # of a scale: a channel of zeros stays zero


class _Rounding(nn.Module):
    """What the two layers below share; `bits` is set when a layer becomes one of them."""

    bits: QuantizationAware
    weight: Tensor

    def _operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return rounded_input(x, self.bits.activations), rounded_weight(
            self.weight, self.bits.weights
        )


class RoundedConv2d(_Rounding, nn.Conv2d):
    """A convolution that rounds while it trains, and is a plain one in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        x, weight = self._operands(x)
        result: Tensor = self._conv_forward(x, weight, self.bias)
        return result


class RoundedLinear(_Rounding, nn.Linear):
    """A linear layer that rounds while it trains, and is a plain one in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        x, weight = self._operands(x)
        return nn.functional.linear(x, weight, self.bias)


_ROUNDED: dict[type[nn.Module], type[_Rounding]] = {
    nn.Conv2d: RoundedConv2d,
    nn.Linear: RoundedLinear,
}


def round_while_training(model: nn.Module, bits: QuantizationAware) -> None:
    """Make every convolution and linear layer of a model one that rounds; names and states of its
    parameters stay as they are."""
    for module in model.modules():
        rounded = _ROUNDED.get(type(module))
        if rounded is not None:
            module.__class__ = rounded
            module.bits = bits  # type: ignore[assignment]


def freeze_norms(model: nn.Module) -> None:
    """Let BatchNorms compute with the statistics that they have, as the artifact will."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def rounded_weight(weight: Tensor, bits: int) -> Tensor:
    """Return a weight (out, ...) rounded to `bits` bits, one symmetric scale an output channel."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(_SMALLEST) / largest  # (out,)
    zero = torch.zeros_like(scale, dtype=torch.int32)  # (out,)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -largest, largest)


def rounded_input(x: Tensor, bits: int | None) -> Tensor:
    """Return a tensor rounded to `bits` bits over its own range, zero included; None: unchanged."""
    if bits is None:
        return x
    levels = 2**bits - 1
    low, high = torch.aminmax(x.detach())
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = ((high - low) / levels).clamp_min(_SMALLEST)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, levels)
