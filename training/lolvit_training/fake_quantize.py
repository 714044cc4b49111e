"""Quantization-aware training: in training mode convolutions and linear layers fake-quantize their
weights and inputs; gradients use the straight-through estimator (Jacob et al., arXiv:1712.05877).

Weights are quantized per output channel, symmetrically, which folding BatchNorm into them does not
change; inputs per tensor, over the range of the batch, so that there are no observers with state.
The result is an ordinary float checkpoint, which `lolvit export --precision int8` quantizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lolvit_training.recipe import QuantizationAware

_SMALLEST = 1e-12  # of a scale: a channel of zeros stays zero


class _FakeQuantized(nn.Module):
    """Base of the two layers below; `bits` is set when a layer is converted."""

    bits: QuantizationAware
    weight: Tensor

    def _operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return fake_quantize_input(x, self.bits.activations), fake_quantize_weight(
            self.weight, self.bits.weights
        )


class FakeQuantizedConv2d(_FakeQuantized, nn.Conv2d):
    """A convolution with fake quantization in training mode, a plain one in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        x, weight = self._operands(x)
        result: Tensor = self._conv_forward(x, weight, self.bias)
        return result


class FakeQuantizedLinear(_FakeQuantized, nn.Linear):
    """A linear layer with fake quantization in training mode, a plain one in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        x, weight = self._operands(x)
        return nn.functional.linear(x, weight, self.bias)


_FAKE_QUANTIZED: dict[type[nn.Module], type[_FakeQuantized]] = {
    nn.Conv2d: FakeQuantizedConv2d,
    nn.Linear: FakeQuantizedLinear,
}


def insert_fake_quantization(model: nn.Module, bits: QuantizationAware) -> None:
    """Convert every convolution and linear layer in place; parameter names and values are kept."""
    for module in model.modules():
        rounded = _FAKE_QUANTIZED.get(type(module))
        if rounded is not None:
            module.__class__ = rounded
            module.bits = bits  # type: ignore[assignment]


def freeze_batch_norm(model: nn.Module) -> None:
    """Use BatchNorm's running statistics, as the exported model does."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def fake_quantize_weight(weight: Tensor, bits: int) -> Tensor:
    """Return a weight (out, ...) fake-quantized to `bits` bits, symmetric per output channel."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(_SMALLEST) / largest  # (out,)
    zero = torch.zeros_like(scale, dtype=torch.int32)  # (out,)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -largest, largest)


def fake_quantize_input(x: Tensor, bits: int | None) -> Tensor:
    """Return a tensor fake-quantized to `bits` bits over its range with zero; None: unchanged."""
    if bits is None:
        return x
    levels = 2**bits - 1
    low, high = torch.aminmax(x.detach())
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = ((high - low) / levels).clamp_min(_SMALLEST)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, levels)
