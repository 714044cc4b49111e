"""The convolutional blocks: shapes and what they are made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lolvit.models.lolvit import (
    ConvNormAct,
    Downsample,
    GhostBottleneck,
    GhostModule,
    GlobalLocalFusion,
    RepDepthwise,
    Stem,
    make_divisible,
)
from tests.lived_in import lived_in


def test_half_of_a_ghost_modules_output_is_a_pointwise_convolutions() -> None:
    module = GhostModule(6, 8).eval()
    x = torch.randn(1, 6, 5, 5)
    result = module(x)
    assert result.shape == (1, 8, 5, 5)
    assert torch.equal(result[:, :4], module.primary(x))
    assert torch.equal(result[:, 4:], module.cheap(module.primary(x)))


def test_ghosts_come_from_a_depthwise_convolution() -> None:
    module = GhostModule(6, 8)
    assert module.primary.conv.kernel_size == (1, 1) and module.primary.conv.groups == 1
    assert module.cheap.conv.groups == module.cheap.conv.in_channels == 4


@pytest.mark.parametrize("apply_act", [True, False])
def test_only_an_activated_ghost_module_is_never_negative(apply_act: bool) -> None:
    torch.manual_seed(0)
    result = GhostModule(6, 8, apply_act=apply_act).eval()(torch.randn(1, 6, 5, 5))
    assert bool((result >= 0).all()) is apply_act


@pytest.mark.parametrize(
    "block", [GhostBottleneck(32, 2), GlobalLocalFusion(32, 1, 16)], ids=lambda b: type(b).__name__
)
def test_zero_init_last_makes_a_residual_block_the_identity_and_it_learns(block: nn.Module) -> None:
    block.zero_init_last()
    x = torch.randn(2, 32, 7, 6)
    assert torch.equal(block.eval()(x), x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        block.train()(x).square().mean().backward()
        optimizer.step()
    moved = block.eval()(x)
    assert not torch.equal(moved, x)
    assert all(parameter.grad is not None for parameter in block.parameters())


@given(st.integers(1, 20), st.integers(1, 20))
def test_downsampling_rounds_odd_sizes_up(height: int, width: int) -> None:
    result = Downsample(4, 6).eval()(torch.zeros(1, 4, height, width))
    assert result.shape == (1, 6, (height + 1) // 2, (width + 1) // 2)


@given(st.integers(2, 40), st.integers(2, 40))
def test_the_stem_halves_twice_and_only_whole_patches_count(height: int, width: int) -> None:
    stem = Stem(3, 6, mid_chs=4).eval()
    image = torch.randn(1, 3, height, width)
    result = stem(image)
    assert result.shape == (1, 6, (height // 2 + 1) // 2, (width // 2 + 1) // 2)
    assert torch.equal(result, stem(image[..., : height // 2 * 2, : width // 2 * 2]))


def test_the_stem_bends_before_the_second_halving() -> None:
    torch.manual_seed(0)
    stem = Stem(3, 6, mid_chs=4).eval()
    image = torch.randn(1, 3, 32, 32)
    halves = stem.patches(image)  # (1, 4, 16, 16)
    assert halves.shape == (1, 4, 16, 16) and bool((halves == 0).any())
    assert not torch.allclose(stem.patches(-image), -halves)


@given(st.integers(1, 12), st.integers(1, 12))
def test_depthwise_branches_keep_the_map(height: int, width: int) -> None:
    assert RepDepthwise(4).eval()(torch.zeros(1, 4, height, width)).shape == (1, 4, height, width)


@given(st.floats(0.1, 5000))
def test_widths_are_the_nearest_multiple_of_32(width: float) -> None:
    rounded = make_divisible(width)
    assert rounded % 32 == 0 and rounded >= 32
    assert abs(rounded - width) <= 16 or rounded == 32


def test_a_convolution_with_norm_is_left_whole_by_timms_feature_extraction() -> None:
    assert not isinstance(ConvNormAct(3, 4), nn.Sequential)


@pytest.mark.parametrize("apply_act", [True, False])
def test_a_convolution_is_normalized_and_then_activated(apply_act: bool) -> None:
    torch.manual_seed(0)
    block = lived_in(ConvNormAct(3, 4, 3, stride=2, apply_act=apply_act))
    x = torch.randn(1, 3, 7, 8)
    expected = block.norm(block.conv(x))
    assert expected.shape == (1, 4, 4, 4) and bool((expected < 0).any())
    assert torch.equal(block(x), expected.relu() if apply_act else expected)
