"""Faults of a model: each returns a copy that computes what a wrong conversion would.

Layers in the middle of the network are chosen: faults of the first and last ones are larger.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.manifest import Preprocessing
from lolvit.models.dense import DenseModel

_Module = TypeVar("_Module", bound=nn.Module)
_SHIFT = 8  # pixels
_OVERFLOWING = 32768.0  # with it, activations above 2 exceed half precision


@dataclass(frozen=True)
class ModelFault:
    """A fault of a model. `inject` changes the copy that it is given in place, or returns another
    module; it returns None where the network has nothing of the kind. `precisions`: of the
    artifacts that it is a fault of. `of_the_network`: the user's own network has it, so that eager
    has it too."""

    name: str
    inject: Callable[[nn.Module, Preprocessing], nn.Module | None]
    precisions: tuple[str, ...] = ("fp32", "fp16")
    of_the_network: bool = False

    def apply(self, model: nn.Module, preprocessing: Preprocessing) -> nn.Module | None:
        """Return a faulty copy of the model, or None."""
        found = self.inject(copy.deepcopy(model).eval(), preprocessing)
        return found.eval() if found is not None else None


class _Wrapped(nn.Module):
    """Computes the model on a changed image."""

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self._change = model, change

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.model(self._change(image))
        return result


class _ChangedOutputs(nn.Module):
    """Computes a model's outputs, of which some are changed."""

    def __init__(self, model: nn.Module, **changes: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self._changes = model, changes

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.model(image)
        return {
            name: self._changes.get(name, _unchanged)(tensor) for name, tensor in outputs.items()
        }


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


class _Scaled(nn.Module):
    """Computes a layer whose result is scaled up and down again."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x) * _OVERFLOWING
        return result / _OVERFLOWING


class _PaddedPool(nn.Module):
    """Global pooling that counts a border of zeros."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pool(F.pad(x, (1, 1, 1, 1)))
        return result


class _ShiftedPadding(nn.Module):
    """Computes a convolution whose padding is one pixel too far to one side."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(F.pad(x, (1, -1, 1, -1)))
        return result


def _all_of(model: nn.Module, kind: type[_Module]) -> list[_Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def _middle(layers: Sequence[_Module]) -> _Module | None:
    return layers[len(layers) // 2] if layers else None


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
                return model
    raise AssertionError("not a part of the model")


def _batch_norm_dropped(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    layer = _middle(_all_of(model, nn.BatchNorm2d))
    if layer is None:
        return None
    assert layer.running_mean is not None and layer.running_var is not None
    with torch.no_grad():  # timm's has an activation in it, which stays
        layer.running_mean.zero_()
        layer.running_var.fill_(1.0)
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    return model


def _batch_norm_epsilon(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """The classic of weights that move between TensorFlow (1e-3) and PyTorch (1e-5)."""
    layers = _all_of(model, nn.BatchNorm2d)
    for layer in layers:
        layer.eps = 1e-5 if layer.eps > 1e-4 else 1e-3
    return model if layers else None


def _dense(model: nn.Module) -> nn.Conv2d | None:
    return _middle(_pointwise(model))


def _pointwise(model: nn.Module) -> list[nn.Conv2d]:
    return [each for each in _all_of(model, nn.Conv2d) if each.kernel_size == (1, 1)]


def _channels_swapped(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    layer = _dense(model)
    if layer is None:
        return None
    order = torch.arange(len(layer.weight))
    order[:2] = torch.tensor([1, 0])
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order])
    return model


def _weights_larger(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    layer = _dense(model)
    if layer is None:
        return None
    with torch.no_grad():
        layer.weight.mul_(1.05)
    return model


def _weights_in_half(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    layer = _dense(model)
    if layer is None:
        return None
    rounded = layer.weight.half().float()
    if torch.equal(rounded, layer.weight):  # the checkpoint is in half precision
        return None
    with torch.no_grad():
        layer.weight.copy_(rounded)
    return model


def _not_normalized(model: nn.Module, preprocessing: Preprocessing) -> nn.Module | None:
    if not any(preprocessing.mean) and all(each == 1 for each in preprocessing.std):
        return None  # nothing to leave out: MobileViT takes pixels from 0 to 1
    mean = torch.tensor(preprocessing.mean).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, -1, 1, 1)
    return _Wrapped(model, lambda image: image * std + mean)


def _bgr(model: nn.Module, _: Preprocessing) -> nn.Module:
    return _Wrapped(model, lambda image: image.flip(1))


def _transposed(model: nn.Module, preprocessing: Preprocessing) -> nn.Module | None:
    height, width = preprocessing.size
    return _Wrapped(model, lambda image: image.transpose(2, 3)) if height == width else None


def _crop_shifted(model: nn.Module, _: Preprocessing) -> nn.Module:
    return _Wrapped(model, lambda image: torch.roll(image, _SHIFT, 3))


def _padding_counted(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    pool = next(
        (m for n, m in model.named_modules() if n.endswith("global_pool") and _pools(m)), None
    )
    if pool is None:
        return None
    return _replace(model, pool, _PaddedPool(pool))


def _pools(module: nn.Module) -> bool:
    return hasattr(module, "pool") and hasattr(module, "flatten")


def _padding_shifted(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    layers = [
        each
        for each in _all_of(model, nn.Conv2d)
        if each.stride == (2, 2) and each.kernel_size[0] > 1
    ]
    layer = _middle(layers)
    return _replace(model, layer, _ShiftedPadding(layer)) if layer is not None else None


def _class_dead(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    if isinstance(model, DenseModel):  # the last one: a map's first is the background
        for name in model.class_layers:
            with torch.no_grad():
                model.get_submodule(name).weight[-1].zero_()  # type: ignore[index]
        return model
    layer = next(iter(reversed(_all_of(model, nn.Linear))), None)
    if layer is None:
        return None
    with torch.no_grad():
        layer.weight[0].zero_()
        if layer.bias is not None:
            layer.bias[0] = 0
    return model


def _overflow_in_half(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    # Reparameterization merges depthwise branches by their weights: they can't be replaced.
    layer = _middle([each for each in _pointwise(model) if each.groups == 1])
    return _replace(model, layer, _Scaled(layer)) if layer is not None else None


def _activation_replaced(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """One activation of another kind: ReLU and ReLU6 with PyTorch's slope of leaky ReLU, which
    changes a network also where nothing exceeds 6, the others by ReLU6."""
    kinds = (nn.ReLU6, nn.ReLU, nn.SiLU, nn.GELU, nn.Hardswish)
    layer = _middle([each for each in model.modules() if isinstance(each, kinds)])
    if layer is None:
        return None
    leaky = isinstance(layer, nn.ReLU | nn.ReLU6)
    return _replace(model, layer, nn.LeakyReLU() if leaky else nn.ReLU6())


def _bound_dropped(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """ReLU in place of one ReLU6."""
    layer = _middle([each for each in model.modules() if isinstance(each, nn.ReLU6)])
    return None if layer is None else _replace(model, layer, nn.ReLU())


def _trained_further(model: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """One step of gradient descent, by which two epochs' weights differ at the least."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((2, preprocessing.channels, *preprocessing.size), generator=generator)
    with torch.enable_grad():
        outputs = model(images)
        if isinstance(outputs, dict):  # its own loss is unknown: any direction will do
            loss = torch.stack([each.square().mean() for each in outputs.values()]).sum()
        else:
            loss = F.cross_entropy(outputs, torch.tensor([0, 1]))
        loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad)
                parameter.grad = None
    return model


def _is_for(model: nn.Module, task: str) -> bool:
    return isinstance(model, DenseModel) and model.task == task


def _first_class_zero(scores: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(scores[:, :1]), scores[:, 1:]], 1)


def _next_class(classes: Tensor) -> Tensor:
    """Every class has its successor's values."""
    return torch.cat([classes[:, 1:], classes[:, :1]], 1)


def _scores_zeroed(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    if _is_for(model, "detection"):
        return _ChangedOutputs(model, scores=_first_class_zero)
    if _is_for(model, "segmentation"):
        return _ChangedOutputs(model, logits=_first_class_zero)
    return None


def _classes_shifted(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    if _is_for(model, "detection"):
        return _ChangedOutputs(model, scores=_next_class)
    if _is_for(model, "segmentation"):
        return _ChangedOutputs(model, logits=_next_class)
    return None


def _boxes_shifted(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """Each box lies a stride further right: less to the left side, more to the right one."""
    if not _is_for(model, "detection"):
        return None
    shift = torch.tensor([-1.0, 0, 1, 0]).view(1, 4, 1)
    return _ChangedOutputs(model, boxes=lambda boxes: (boxes + shift.to(boxes)).relu())


def _sides_swapped(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """Left and right are read as top and bottom."""
    if not _is_for(model, "detection"):
        return None
    return _ChangedOutputs(
        model,
        boxes=lambda boxes: torch.cat(
            [boxes[:, 1:2], boxes[:, :1], boxes[:, 3:], boxes[:, 2:3]], 1
        ),
    )


def _map_swapped(model: nn.Module, _: Preprocessing) -> nn.Module | None:
    """The map is written column by column and read row by row."""
    if not _is_for(model, "segmentation"):
        return None
    return _ChangedOutputs(
        model, logits=lambda logits: logits.transpose(2, 3).reshape(logits.shape)
    )


def _corners_aligned(model: nn.Module, preprocessing: Preprocessing) -> nn.Module | None:
    """The map is upsampled with aligned corners, and read where its half-pixel centres are."""
    if not _is_for(model, "segmentation"):
        return None

    def resampled(logits: Tensor) -> Tensor:
        size = [int(side) for side in logits.shape[2:]]
        large = F.interpolate(logits, list(preprocessing.size), mode="bilinear", align_corners=True)
        return F.interpolate(large, size, mode="bilinear", align_corners=False)

    return _ChangedOutputs(model, logits=resampled)


MODEL_FAULTS = (
    ModelFault("BatchNorm of one layer dropped", _batch_norm_dropped),
    ModelFault("BatchNorm's epsilon of another framework", _batch_norm_epsilon),
    ModelFault("two channels of one layer swapped", _channels_swapped),
    ModelFault("weights of one layer 5 % larger", _weights_larger),
    ModelFault("weights of one layer rounded to half precision", _weights_in_half, ("fp32",)),
    ModelFault("mean and standard deviation left out", _not_normalized),
    ModelFault("RGB read as BGR", _bgr),
    ModelFault("height and width transposed", _transposed),
    ModelFault("crop off by 8 pixels", _crop_shifted),
    ModelFault("an average pool counts its padding", _padding_counted),
    ModelFault("padding of one convolution off by one pixel", _padding_shifted),
    ModelFault("one activation replaced by another", _activation_replaced),
    ModelFault("one ReLU6 without its upper bound", _bound_dropped),
    ModelFault("a class is dead", _class_dead),
    ModelFault("weights of another training step", _trained_further),
    ModelFault("scores of one class zeroed", _scores_zeroed),
    ModelFault("classes shifted by one", _classes_shifted),
    ModelFault("boxes shifted by a stride", _boxes_shifted),
    ModelFault("width and height of boxes swapped", _sides_swapped),
    ModelFault("width and height of the map swapped", _map_swapped),
    ModelFault("map upsampled with aligned corners", _corners_aligned),
    ModelFault("one layer overflows in half precision", _overflow_in_half, ("fp16",), True),
)
