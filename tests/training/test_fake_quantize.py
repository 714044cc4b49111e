"""Quantization-aware training: what is rounded, what is not, and what it is for."""

from __future__ import annotations

import copy

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from lolvit_training.fake_quantize import (
    fake_quantize_input,
    fake_quantize_weight,
    freeze_batch_norm,
    insert_fake_quantization,
)
from lolvit_training.recipe import QuantizationAware, read_recipe

FLOATS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    elements=st.floats(-100, 100, width=32),
)


@given(FLOATS, st.integers(2, 8))
def test_a_weight_is_at_most_half_a_step_off_in_each_channel(values, bits) -> None:
    weight = torch.from_numpy(values)
    rounded = fake_quantize_weight(weight, bits)
    step = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert bool(((rounded - weight).abs() <= step * 0.5001 + 1e-12).all())
    for channel, original in zip(rounded, weight, strict=True):
        assert len(channel.unique()) <= min(2**bits - 1, original.numel())


@given(FLOATS, st.integers(4, 8))
def test_an_input_keeps_zero_and_is_at_most_a_step_off(values, bits) -> None:
    x = torch.from_numpy(values)
    rounded = fake_quantize_input(x, bits)
    width = float(x.max().clamp_min(0) - x.min().clamp_max(0))
    assert bool(((rounded - x).abs() <= width / (2**bits - 1) * 1.001 + 1e-6).all())
    assert float(fake_quantize_input(torch.cat([x.flatten(), torch.zeros(1)]), bits)[-1]) == 0


def test_folding_a_norm_into_a_weight_commutes_with_rounding() -> None:
    weight = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    factor = torch.linspace(0.1, 3, 8).reshape(8, 1, 1, 1)
    folded = fake_quantize_weight(weight * factor, 8)
    torch.testing.assert_close(folded, fake_quantize_weight(weight, 8) * factor)


@pytest.fixture
def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
    )


def test_a_model_rounds_while_it_trains_and_is_itself_in_evaluation(plain: nn.Module) -> None:
    rounding = copy.deepcopy(plain)
    insert_fake_quantization(rounding, QuantizationAware(weights=4, activations=4))
    assert list(rounding.state_dict()) == list(plain.state_dict())
    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rounding.eval()(image), plain.eval()(image), rtol=0, atol=0)
    freeze_batch_norm(rounding.train())
    assert (rounding(image) - plain(image)).abs().max() > 1e-3


def test_gradients_pass_the_rounding(plain: nn.Module) -> None:
    insert_fake_quantization(plain, QuantizationAware())
    plain.train()(torch.randn(2, 3, 8, 8)).square().sum().backward()
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()) and float(parameter.grad.abs().sum()) > 0, name


@pytest.mark.parametrize(("bits", "gain", "least"), [(2, 0.1, 0.8), (3, 0.005, 0.9)])
def test_training_with_few_bits_makes_few_bits_bearable(
    bits: int, gain: float, least: float
) -> None:
    """On scikit-learn's digits, every third of them held out."""
    digits = load_digits()
    images = torch.from_numpy(digits.data).float() / 16
    labels = torch.from_numpy(digits.target)
    held = torch.arange(len(labels)) % 3 == 0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    _fit(model, images[~held], labels[~held])
    before = _accuracy_when_rounded(model, images[held], labels[held], bits)
    insert_fake_quantization(model, QuantizationAware(weights=bits, activations=None))
    _fit(model.train(), images[~held], labels[~held])
    after = _accuracy_when_rounded(model, images[held], labels[held], bits)
    assert after > before + gain
    assert after > least


def _fit(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def _accuracy_when_rounded(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, bits: int
) -> float:
    rounded = copy.deepcopy(model).eval()
    for module in rounded.modules():
        if isinstance(module, nn.Linear):
            module.weight.data = fake_quantize_weight(module.weight.data, bits)
    return float((rounded(images).argmax(dim=1) == labels).float().mean())


def test_the_recipe_of_the_package_rounds_to_eight_bits() -> None:
    recipe = read_recipe("int8", {})
    assert recipe.quantization_aware == QuantizationAware(weights=8, activations=8)
    assert read_recipe("small", {}).quantization_aware is None
