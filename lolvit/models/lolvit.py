"""LOLViT: Ghost bottlenecks, and Fast Window Attention fused with a depthwise branch.

Papers:
    * LOLViT, Li et al., arXiv:2508.01385. Only its abstract was at hand: softmax-free attention
      "with adaptive feature map sizes" whose few keys and values come "through window aggregation",
      ReLU in place of SoftMax, a global-local feature fusion, GhostNet. How exactly is our reading.
    * GhostNet, Han et al., arXiv:1911.11907: half of the output channels of a Ghost module come
      from a pointwise convolution, the other half from a cheap depthwise one on top of them.
    * RepVGG, Ding et al., arXiv:2101.03697: a k x k and a 1 x 1 branch are merged after training.

One file in timm's manner, with timm's model interface. The variants' widths and depths are in
`lolvit.variants`, which code without torch reads too. `torch.export` and `torch.compile` take the
models; `torch.jit.script` is not supported (window sizes are computed in Python from the shape).
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from timm.layers import (
    DropPath,
    calculate_drop_path_rates,
    create_classifier,
    get_device_dtype,
    trunc_normal_,
)
from timm.models import (
    build_model_with_cfg,
    checkpoint_seq,
    generate_default_cfgs,
    register_model,
    register_notrace_function,
)
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lolvit.variants import VARIANTS, Stage, Variant

__all__ = ["Lolvit"]

Device = torch.device | str | None
Dtype = torch.dtype | None


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm and, with `apply_act`, ReLU. (B, in, H, W) -> (B, out, H/s, W/s).

    Without `padding`, an odd kernel keeps the size. timm's layer of this name calls its norm `bn`;
    here it is `norm`, as in all checkpoints. Not a Sequential: timm's feature extraction would take
    it apart.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        apply_act: bool = True,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        if padding is None:
            padding = kernel_size // 2
        self.conv = nn.Conv2d(
            in_chs, out_chs, kernel_size, stride, padding, groups=groups, bias=False, **dd
        )
        self.norm = nn.BatchNorm2d(out_chs, **dd)
        self.act = nn.ReLU() if apply_act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.norm(self.conv(x)))
        return result


class Stem(nn.Module):
    """2 x 2 patch embedding, then a depthwise separable convolution of stride 2.

    (B, in, H, W) -> (B, out, ⌈⌊H/2⌋/2⌉, ⌈⌊W/2⌋/2⌉). Two steps, because fine textures need a
    nonlinearity before the second halving: patches of 4 x 4 are less accurate, and no faster. The
    first step has no padding, so that input normalization can be folded into its weights.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        mid_chs: int = 16,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        self.patches = ConvNormAct(in_chs, mid_chs, 2, stride=2, padding=0, **dd)
        self.spatial = ConvNormAct(mid_chs, mid_chs, 3, stride=2, groups=mid_chs, **dd)
        self.channel = ConvNormAct(mid_chs, out_chs, **dd)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)  # (B, mid, H/2, W/2)
        x = self.spatial(x)  # (B, mid, H/4, W/4)
        x = self.channel(x)  # (B, out, H/4, W/4)
        return x


class Downsample(nn.Sequential):
    """Depthwise 3 x 3 of stride 2, then pointwise. (B, in, H, W) -> (B, out, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(
        self, in_chs: int, out_chs: int, device: Device = None, dtype: Dtype = None
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        spatial = ConvNormAct(in_chs, in_chs, 3, 2, groups=in_chs, apply_act=False, **dd)
        channel = ConvNormAct(in_chs, out_chs, apply_act=False, **dd)
        super().__init__(OrderedDict(spatial=spatial, channel=channel))


class RepDepthwise(nn.Module):
    """Depthwise convolution trained as two branches, k x k and 1 x 1, each with its BatchNorm.

    (B, C, H, W) -> (B, C, H, W). timm's `reparameterize_model` replaces it by what `fuse` returns.
    """

    def __init__(
        self, chs: int, kernel_size: int = 3, device: Device = None, dtype: Dtype = None
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        self.wide = ConvNormAct(chs, chs, kernel_size, groups=chs, apply_act=False, **dd)
        self.point = ConvNormAct(chs, chs, 1, groups=chs, apply_act=False, **dd)

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.wide(x)
        point: Tensor = self.point(x)
        return wide + point

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """Return one k x k depthwise convolution, with bias, equal to the block in eval mode.

        Its kernel is the sum of both branches' kernels, the 1 x 1 one padded with zeros to k x k,
        after each took in its BatchNorm. The block itself is left as it is.
        """
        (wide, bias), (point, point_bias) = map(_fused_weights, (self.wide, self.point))
        border = self.wide.conv.kernel_size[0] // 2
        conv = copy.deepcopy(self.wide.conv)
        trained = conv.weight.requires_grad
        kernel = wide + F.pad(point, (border, border, border, border))  # (C, 1, k, k)
        conv.weight = nn.Parameter(kernel, requires_grad=trained)
        conv.bias = nn.Parameter(bias + point_bias, requires_grad=trained)
        return conv


def _fused_weights(block: ConvNormAct) -> tuple[Tensor, Tensor]:
    """Return the convolution's weight (out, in/groups, k, k) and bias (out,) after BatchNorm."""
    norm = block.norm
    assert norm.running_mean is not None and norm.running_var is not None  # ConvNormAct tracks them
    return fuse_conv_bn_weights(
        block.conv.weight,
        None,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


class GhostModule(nn.Module):
    """A pointwise half and its depthwise half. (B, in, H, W) -> (B, out, H, W); `out` is even."""

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        apply_act: bool = True,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        half = out_chs // 2
        self.primary = ConvNormAct(in_chs, half, 1, apply_act=apply_act, **dd)
        self.cheap = ConvNormAct(half, half, 3, groups=half, apply_act=apply_act, **dd)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)  # (B, out/2, H, W)
        cheap = self.cheap(primary)  # (B, out/2, H, W)
        return torch.cat([primary, cheap], dim=1)  # (B, out, H, W)


class GhostBottleneck(nn.Module):
    """Two Ghost modules, wide then narrow, with a residual. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(
        self,
        chs: int,
        expansion: float,
        drop_path: float = 0.0,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        hidden_chs = make_divisible(chs * expansion)
        self.expand = GhostModule(chs, hidden_chs, apply_act=True, **dd)
        self.project = GhostModule(hidden_chs, chs, apply_act=False, **dd)
        self.drop_path = DropPath(drop_path)

    def zero_init_last(self) -> None:
        """Set the weights of the residual branch's last BatchNorms to zero (arXiv:1706.02677)."""
        nn.init.zeros_(self.project.primary.norm.weight)
        nn.init.zeros_(self.project.cheap.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.expand(x)  # (B, C * expansion, H, W)
        residual: Tensor = self.drop_path(self.project(hidden))  # (B, C, H, W)
        return x + residual


def window_size(length: int) -> int:
    """Return the side of the windows on an axis of `length`: the whole number nearest to its root.

    A side n then has about sqrt(n) windows, so a map of N positions has about sqrt(N) keys
    whatever its size, and no reduction ratio is tuned.
    """
    return max(1, round(math.sqrt(length)))


@register_notrace_function  # type: ignore[untyped-decorator] # its window depends on the shape
def aggregate_windows(x: Tensor) -> Tensor:
    """Average each window into one token. (B, C, H, W) -> (B, C, ⌈H/wh⌉, ⌈W/ww⌉).

    The last window of an axis may be cut short by the border; it averages what is inside.
    """
    window = (window_size(x.shape[-2]), window_size(x.shape[-1]))  # (wh, ww)
    return F.avg_pool2d(x, window, stride=window, ceil_mode=True, count_include_pad=False)


def relu_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with A = ReLU(q·kᵀ/√d), each row divided by its sum plus the number of keys.

    query (B, heads, N, d), key and value (B, heads, M, d) -> (B, heads, N, d). Unnormalised, the
    result would be cubic in the scale of the input and overflow; divided, the weights of a row add
    up to less than one, so an output is never larger than the largest value. The M in the divisor
    is as much as scores of one each: with a small constant instead, a row whose scores are all
    near zero divides rounding errors by almost nothing, and fp16 artifacts agree with eager to
    27 dB instead of 49 and more.

    Numerator and denominator are divided by M², half of it on the query and half on the key: the
    same weights, and no score or sum comes near the largest or smallest number of half precision.
    """
    keys = key.shape[-2]
    query = query * (query.shape[-1] ** -0.5 / keys)  # (B, heads, N, d)
    key = key.transpose(-2, -1) * (1 / keys)  # (B, heads, d, M)
    attn = torch.relu(query @ key)  # (B, heads, N, M)
    attn = attn / (attn.sum(dim=-1, keepdim=True) + 1 / keys)  # (B, heads, N, M)
    return attn @ value  # (B, heads, N, d)


class FastWindowAttention(nn.Module):
    """Global attention of every position to the window averages of its own map (FWA).

    (B, in, H, W) -> (B, heads * head_dim, H, W), for any height and width.
    """

    def __init__(
        self,
        in_chs: int,
        heads: int,
        head_dim: int,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.query = ConvNormAct(in_chs, heads * head_dim, apply_act=False, **dd)
        self.key_value = ConvNormAct(in_chs, 2 * heads * head_dim, apply_act=False, **dd)

    def forward(self, x: Tensor) -> Tensor:
        B, _, H, W = x.shape
        heads, dim = self.heads, self.head_dim
        query = self.query(x).reshape(B, heads, dim, -1)  # (B, heads, d, N), N = H * W
        windows = self.aggregate(x)  # (B, in, h, w)
        windows = self.key_value(windows)  # (B, 2 * heads * d, h, w)
        windows = windows.reshape(B, 2, heads, dim, -1)  # (B, 2, heads, d, M), M = h * w
        key, value = windows.unbind(1)  # 2 x (B, heads, d, M)
        query = query.transpose(-2, -1)  # (B, heads, N, d)
        key = key.transpose(-2, -1)  # (B, heads, M, d)
        value = value.transpose(-2, -1)  # (B, heads, M, d)
        tokens = self.attend(query, key, value)  # (B, heads, N, d)
        return tokens.transpose(-2, -1).reshape(B, heads * dim, H, W)  # (B, heads * d, H, W)

    def aggregate(self, x: Tensor) -> Tensor:
        """Return what keys and values are made of. (B, in, H, W) -> (B, in, h, w)."""
        windows: Tensor = aggregate_windows(x)
        return windows

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, heads, N, d), twice (B, heads, M, d) -> (B, heads, N, d)."""
        return relu_attention(query, key, value)


class GlobalLocalFusion(nn.Module):
    """A depthwise (local) and an FWA (global) branch, joined by a pointwise convolution, residual.

    (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(
        self,
        chs: int,
        heads: int,
        head_dim: int,
        drop_path: float = 0.0,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        self.local = RepDepthwise(chs, **dd)
        self.attention = FastWindowAttention(chs, heads, head_dim, **dd)
        self.mix = ConvNormAct(chs + heads * head_dim, chs, apply_act=False, **dd)
        self.drop_path = DropPath(drop_path)

    def zero_init_last(self) -> None:
        """Set the weights of the residual branch's last BatchNorm to zero (arXiv:1706.02677)."""
        nn.init.zeros_(self.mix.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        local = torch.relu(self.local(x))  # (B, C, H, W)
        attended = self.attention(x)  # (B, heads * d, H, W)
        residual = self.mix(torch.cat([local, attended], dim=1))  # (B, C, H, W)
        residual = self.drop_path(residual)  # (B, C, H, W)
        result: Tensor = x + residual  # (B, C, H, W)
        return result


class FusionBlock(nn.Sequential):
    """Token mixing by global-local fusion, then channel mixing by a Ghost bottleneck.

    (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(
        self,
        chs: int,
        expansion: float,
        heads: int,
        head_dim: int,
        drop_path: float = 0.0,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        fusion = GlobalLocalFusion(chs, heads, head_dim, drop_path, **dd)
        ghost = GhostBottleneck(chs, expansion, drop_path, **dd)
        super().__init__(OrderedDict(fusion=fusion, ghost=ghost))


def make_divisible(width: float, divisor: int = 32) -> int:
    """Round a width so that Ghost halves stay multiples of 16, the block of vectorised kernels.

    timm's function of this name also keeps a width from falling by more than 10 %; the widths of
    checkpoints do not.
    """
    return max(divisor, int(width / divisor + 0.5) * divisor)


class Lolvit(nn.Module):
    """Image (B, in_chans, H, W) -> logits (B, num_classes); any H and W of at least 32 pixels.

    A stem of stride 4 and four stages at strides 4, 8, 16 and 32. Stages are Ghost bottlenecks, or
    fusion blocks where the variant gives a stage attention heads.

    Args:
        cfg: Widths and depths, an entry of `lolvit.variants.VARIANTS`.
        num_classes: Classes of the head; 0 for none, which leaves the pooled features.
        in_chans: Channels of the image.
        global_pool: "avg", "max", "avgmax", "catavgmax", or "" for none (with `num_classes=0`).
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; grows linearly with depth.
        zero_init_last: Set the weights of each residual branch's last BatchNorms to zero.
        device: Device of the parameters.
        dtype: Data type of the parameters.

    Raises:
        ValueError: `global_pool` is "" and `num_classes` is not 0.
    """

    def __init__(
        self,
        cfg: Variant,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False

        self.stem = Stem(in_chans, cfg.stem, **dd)
        self.stages = nn.Sequential(*_create_stages(cfg, drop_path_rate, **dd))
        self.feature_info = [
            {"num_chs": stage.width, "reduction": 4 * 2**i, "module": f"stages.{i}"}
            for i, stage in enumerate(cfg.stages)
        ]
        self.final_act: nn.Module = nn.ReLU()

        self.num_features = cfg.stages[-1].width
        self.head_drop = nn.Dropout(drop_rate)
        self._create_head(num_classes, global_pool, **dd)
        self.init_weights(zero_init_last, needs_reset=False)

    def _create_head(self, num_classes: int, global_pool: str, **dd: Any) -> None:
        if not global_pool and num_classes:
            raise ValueError(
                f"global_pool='' leaves feature maps, which the classifier of {num_classes} classes"
                " can't take: choose a pooling, or num_classes=0"
            )
        # timm's "fast" pooling is a plain mean, which every exporter lowers.
        pool_type = f"fast{global_pool.removeprefix('fast')}" if global_pool else ""
        self.global_pool, self.head = create_classifier(
            self.num_features, num_classes, pool_type, **dd
        )
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def init_weights(self, zero_init_last: bool = True, needs_reset: bool = True) -> None:
        """Initialise the weights; with `needs_reset` BatchNorms too, as after `to_empty`."""
        self.apply(partial(_init_weights, needs_reset=needs_reset))
        if zero_init_last:
            for module in self.modules():
                if isinstance(module, GhostBottleneck | GlobalLocalFusion):
                    module.zero_init_last()

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay: none beyond biases and norms, which
        timm's optimizers leave out by their one dimension."""
        return set()

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns that sort parameters into layers: the stem, then each stage (`coarse`) or
        each block, then the head, which no pattern matches."""
        return {
            "stem": r"^stem",
            "blocks": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)",
        }

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block's activations in the backward pass instead of keeping them.

        Outputs and gradients stay equal. BatchNorm sees a batch twice then, as in all of timm's
        models: its running statistics move as with twice the momentum, nearly.
        """
        self.grad_checkpointing = enable

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        classifier: nn.Module = self.head
        return classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one; 0 classes leaves the pooled features.

        Args:
            num_classes: Classes of the new head.
            global_pool: New pooling, as in the constructor; None keeps the present one.

        Raises:
            ValueError: `global_pool` is "" and `num_classes` is not 0.
        """
        pool_type = self.global_pool.pool_type if global_pool is None else global_pool
        self._create_head(num_classes, pool_type, **get_device_dtype(self))
        self.num_classes = num_classes
        self.head.apply(_init_weights)
        self.global_pool.train(self.training)
        self.head.train(self.training)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the outputs of stages, and what `forward_features` returns.

        Args:
            x: Image (B, in_chans, H, W).
            indices: Stages to return: the last n if an int, all if None, else those given; negative
                ones count from the end.
            norm: Apply the final activation to the last stage's output, as `forward_features` does.
            stop_early: Compute no stage beyond the last one asked for; the final features are then
                those of that stage.
            output_fmt: "NCHW".
            intermediates_only: Return the intermediates alone.

        Returns:
            Final features (B, C, h, w) and a list of intermediates (B, C_i, H/s_i, W/s_i) in the
            order of the stages; the list alone if `intermediates_only`.

        Raises:
            ValueError: `output_fmt` is not "NCHW".
            AssertionError: an index is out of range.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', not '{output_fmt}'")
        take_indices, max_index = feature_take_indices(len(self.stages), indices)
        last_index = len(self.stages) - 1
        stages = list(self.stages)[: max_index + 1] if stop_early else list(self.stages)
        intermediates = []
        x = self.stem(x)  # (B, stem, H/4, W/4)
        for index, stage in enumerate(stages):
            x = (
                checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            )  # (B, C_i, h_i, w_i)
            if index in take_indices:
                final = norm and index == last_index
                intermediates.append(self.final_act(x) if final else x)
        if intermediates_only:
            return intermediates
        if len(stages) == len(self.stages):
            x = self.final_act(x)  # (B, C, H/32, W/32)
        return x, intermediates

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the stages beyond the last one asked for, in place.

        Args:
            indices: Stages to keep, as in `forward_intermediates`.
            prune_norm: Remove the final activation.
            prune_head: Remove pooling and classifier. They, and the final activation, go too where
                the last stage goes: they are made for its output.

        Returns:
            The indices asked for, none negative.

        Raises:
            AssertionError: an index is out of range.
        """
        take_indices, max_index = feature_take_indices(len(self.stages), indices)
        prune_end = max_index < len(self.stages) - 1
        del self.stages[max_index + 1 :]
        if prune_norm or prune_end:
            self.final_act = nn.Identity()
        if prune_end:
            self.num_features = self.feature_info[max_index]["num_chs"]
        if prune_head or prune_end:
            self.reset_classifier(0, "")
        kept: list[int] = take_indices
        return kept

    def forward_features(self, x: Tensor) -> Tensor:
        """Image (B, in_chans, H, W) -> last feature map (B, C, H/32, W/32)."""
        x = self.stem(x)  # (B, stem, H/4, W/4)
        if self.grad_checkpointing:
            x = checkpoint_seq(self.stages, x, flatten=True)  # (B, C, H/32, W/32)
        else:
            x = self.stages(x)
        x = self.final_act(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Feature map (B, C, h, w) -> logits (B, num_classes), or pooled (B, C) if `pre_logits`."""
        x = self.global_pool(x)  # (B, C)
        x = self.head_drop(x)  # (B, C)
        if not pre_logits:
            x = self.head(x)  # (B, num_classes)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Image (B, in_chans, H, W) -> logits (B, num_classes)."""
        x = self.forward_features(x)  # (B, C, H/32, W/32)
        x = self.forward_head(x)  # (B, num_classes)
        return x


def _create_stages(cfg: Variant, drop_path_rate: float, **dd: Any) -> list[nn.Module]:
    """Return the stages; each but the first begins with a downsampling."""
    depth = sum(stage.depth for stage in cfg.stages)
    rates: Iterator[Any] = iter(calculate_drop_path_rates(drop_path_rate, depth))
    widths = (cfg.stem, *(stage.width for stage in cfg.stages))
    stages: list[nn.Module] = []
    for stage, (in_chs, out_chs) in zip(cfg.stages, pairwise(widths), strict=True):
        entry: list[nn.Module] = []
        if stages:
            entry = [Downsample(in_chs, out_chs, **dd)]
        elif in_chs != out_chs:
            entry = [ConvNormAct(in_chs, out_chs, apply_act=False, **dd)]
        blocks = [_create_block(stage, next(rates), **dd) for _ in range(stage.depth)]
        stages.append(nn.Sequential(*entry, *blocks))
    return stages


def _create_block(stage: Stage, drop_path: float, **dd: Any) -> nn.Module:
    if stage.heads:
        return FusionBlock(
            stage.width, stage.expansion, stage.heads, stage.head_dim, drop_path, **dd
        )
    return GhostBottleneck(stage.width, stage.expansion, drop_path, **dd)


def _init_weights(module: nn.Module, needs_reset: bool = False) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif needs_reset and isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()


def _cfg(url: str = "", **kwargs: Any) -> dict[str, Any]:
    return {
        "url": url,
        "num_classes": 1000,
        "input_size": (3, 256, 256),
        "min_input_size": (3, 32, 32),
        "fixed_input_size": False,
        "pool_size": (8, 8),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        # One mean and one standard deviation for all channels: Core ML's image input takes one.
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": "stem.patches.conv",
        "classifier": "head",
        "paper_ids": "arXiv:2508.01385",
        "license": "apache-2.0",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({name: _cfg() for name in VARIANTS})


def _create_lolvit(
    name: str, pretrained: bool = False, variant: Variant | None = None, **kwargs: Any
) -> Lolvit:
    model: Lolvit = build_model_with_cfg(
        Lolvit,
        name,
        pretrained,
        model_cfg=VARIANTS[name] if variant is None else variant,
        feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
        **kwargs,
    )
    return model


@register_model
def lolvit_xx(pretrained: bool = False, **kwargs: Any) -> Lolvit:
    """LOLViT-XX, the size of MobileViT-XXS."""
    return _create_lolvit("lolvit_xx", pretrained, **kwargs)


@register_model
def lolvit_x(pretrained: bool = False, **kwargs: Any) -> Lolvit:
    """LOLViT-X, the size of MobileViT-XS."""
    return _create_lolvit("lolvit_x", pretrained, **kwargs)


@register_model
def lolvit_s(pretrained: bool = False, **kwargs: Any) -> Lolvit:
    """LOLViT-S, the size of MobileViT-S."""
    return _create_lolvit("lolvit_s", pretrained, **kwargs)
