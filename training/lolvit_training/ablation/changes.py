"""LOLViT-X with one change each: timm's models lolvit_x_CHANGE, once this file is imported.

The functions need no arguments, so that other commands take the changed models too:
`lolvit export training/lolvit_training/ablation/changes.py:lolvit_x_softmax`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from lolvit.models import lolvit
from lolvit.models.lolvit import (
    ConvNormAct,
    FastWindowAttention,
    FusionBlock,
    GlobalLocalFusion,
    Lolvit,
    RepDepthwise,
)
from lolvit.variants import VARIANTS, Stage, Variant

BASE: Final = "lolvit_x"


class _SoftmaxAttention(FastWindowAttention):
    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = query @ key.transpose(-2, -1) * self.head_dim**-0.5  # (B, heads, N, M)
        tokens: Tensor = scores.softmax(dim=-1) @ value  # (B, heads, N, d)
        return tokens


class _LearnedWindows(FastWindowAttention):
    """Weighs each position by its neighbours before the mean, for windows of any size."""

    def __init__(self, in_chs: int, heads: int, head_dim: int) -> None:
        super().__init__(in_chs, heads, head_dim)
        self.weigh = ConvNormAct(in_chs, in_chs, 3, groups=in_chs, apply_act=False)

    def aggregate(self, x: Tensor) -> Tensor:
        return super().aggregate(self.weigh(x))  # (B, in, h, w)


class _SumFusion(GlobalLocalFusion):
    """The global branch through a pointwise convolution, plus the local one as it is."""

    def __init__(self, chs: int, heads: int, head_dim: int) -> None:
        super().__init__(chs, heads, head_dim)
        self.mix = ConvNormAct(heads * head_dim, chs, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        local = torch.relu(self.local(x))  # (B, C, H, W)
        residual: Tensor = self.drop_path(local + self.mix(self.attention(x)))  # (B, C, H, W)
        return x + residual


class _NoAttention(GlobalLocalFusion):
    """The local branch alone."""

    def __init__(self, chs: int, heads: int, head_dim: int) -> None:
        super().__init__(chs, heads, head_dim)
        self.attention = nn.Identity()  # type: ignore[assignment]
        self.mix = ConvNormAct(chs, chs, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        local = torch.relu(self.local(x))  # (B, C, H, W)
        residual: Tensor = self.drop_path(self.mix(local))  # (B, C, H, W)
        return x + residual


class _Patches(nn.Sequential):
    """Patches of 4 x 4. (B, in, H, W) -> (B, out, H/4, W/4)."""

    def __init__(self, in_chs: int, out_chs: int) -> None:
        super().__init__(ConvNormAct(in_chs, out_chs, 4, stride=4, padding=0))


def _fusions(model: Lolvit) -> list[tuple[Any, Stage]]:
    """Return the fusion blocks, each with its stage; typed as Any, since parts are replaced."""
    stages = zip(model.stages, VARIANTS[BASE].stages, strict=True)
    return [
        (block, stage)
        for blocks, stage in stages
        for block in blocks.children()
        if isinstance(block, FusionBlock)
    ]


def _with_attention(attention: type[FastWindowAttention]) -> Callable[[Lolvit], None]:
    def change(model: Lolvit) -> None:
        for block, stage in _fusions(model):
            block.fusion.attention = attention(stage.width, stage.heads, stage.head_dim)

    return change


def _with_fusion(fusion: type[GlobalLocalFusion]) -> Callable[[Lolvit], None]:
    def change(model: Lolvit) -> None:
        for block, stage in _fusions(model):
            block.fusion = fusion(stage.width, stage.heads, stage.head_dim)

    return change


def _with_kernel_5(model: Lolvit) -> None:
    for block, stage in _fusions(model):
        block.fusion.local = RepDepthwise(stage.width, 5)


def _with_attention_last(model: Lolvit) -> None:
    for block, _ in _fusions(model):
        block.fusion, block.ghost = block.ghost, block.fusion


def _with_patches(model: Lolvit) -> None:
    model.stem = _Patches(model.in_chans, VARIANTS[BASE].stem)  # type: ignore[assignment]


def _unchanged(model: Lolvit) -> None:
    pass


def _stages(*changes: tuple[int, dict[str, Any]]) -> Variant:
    base = VARIANTS[BASE]
    stages = list(base.stages)
    for index, fields in changes:
        stages[index] = replace(stages[index], **fields)
    return replace(base, stages=tuple(stages))


_Change = tuple[str, Variant, Callable[[Lolvit], None]]
_BASE_STAGES: Final = VARIANTS[BASE]
_LAST_OF_64: Final = (3, {"width": 256, "heads": 4, "head_dim": 64, "expansion": 4})
# Name, what is changed, widths and depths, changed parts. All but `no_attention` and `sum_fusion`
# keep about the number of parameters; a last stage of another width has other heads.
_CHANGES: Final[dict[str, _Change]] = {
    "softmax": ("softmax in the attention", _BASE_STAGES, _with_attention(_SoftmaxAttention)),
    "learned_windows": (
        "a depthwise 3 x 3 convolution before the window means",
        _BASE_STAGES,
        _with_attention(_LearnedWindows),
    ),
    "no_attention": ("the local branch alone", _BASE_STAGES, _with_fusion(_NoAttention)),
    "sum_fusion": ("branches are added, not concatenated", _BASE_STAGES, _with_fusion(_SumFusion)),
    "kernel_5": ("a local branch of 5 x 5", _BASE_STAGES, _with_kernel_5),
    "ghost_first": ("channel mixing before the fusion", _BASE_STAGES, _with_attention_last),
    "patches_4": ("a stem of 4 x 4 patches", _BASE_STAGES, _with_patches),
    "attention_last_stage": (
        "attention in the last stage alone",
        _stages((2, {"heads": 0, "depth": 3, "expansion": 3.5})),
        _unchanged,
    ),
    "heads_of_16": (
        "heads of 16 channels, twice as many",
        _stages((2, {"heads": 4, "head_dim": 16}), (3, {"heads": 18, "head_dim": 16})),
        _unchanged,
    ),
    "wide": (
        "a last stage of 2 blocks of 352 channels in place of 3 of 288",
        _stages((3, {"width": 352, "depth": 2, "heads": 11})),
        _unchanged,
    ),
    "deep": (
        "a last stage of 4 blocks of 256 channels",
        _stages((3, {"width": 256, "depth": 4, "heads": 8})),
        _unchanged,
    ),
    "heads_of_64": (
        "a last stage of 256 channels with 4 heads of 64 and an expansion of 4",
        _stages(_LAST_OF_64),
        _unchanged,
    ),
    "attention_last_of_64": (
        "the same last stage with the only attention, after 3 blocks of an expansion of 3.5",
        _stages((2, {"heads": 0, "depth": 3, "expansion": 3.5}), _LAST_OF_64),
        _unchanged,
    ),
}  # fmt: skip

DESCRIPTIONS: Final = {f"{BASE}_{name}": change[0] for name, change in _CHANGES.items()}
default_cfgs = generate_default_cfgs({name: lolvit._cfg() for name in DESCRIPTIONS})
__all__: list[str] = []  # timm adds the models


def _create(name: str, pretrained: bool = False, **kwargs: Any) -> Lolvit:
    _, variant, change = _CHANGES[name.removeprefix(f"{BASE}_")]
    model = lolvit._create_lolvit(name, pretrained, variant, **kwargs)
    change(model)
    model.init_weights(needs_reset=True)
    return model


def _register(name: str) -> Callable[..., Lolvit]:
    def build(pretrained: bool = False, **kwargs: Any) -> Lolvit:
        return _create(name, pretrained, **kwargs)

    build.__name__, build.__doc__ = name, f"LOLViT-X with a change: {DESCRIPTIONS[name]}."
    return register_model(build)


for _name in DESCRIPTIONS:
    globals()[_name] = _register(_name)
