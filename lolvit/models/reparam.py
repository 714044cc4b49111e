"""Structural reparameterization of a copy of a model, for export."""

from __future__ import annotations

import copy

from torch import nn

METHODS = ("fuse", "reparameterize", "switch_to_deploy")


def reparameterize(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in eval mode whose modules have their parallel branches merged.

    The methods are those of timm's `reparameterize_model`: a module with a method `fuse` is
    replaced by the module that it returns, one with `reparameterize` or `switch_to_deploy` changes
    itself, such as LOLViT's `RepDepthwise` or the blocks of MobileOne, RepViT and FastViT. Methods
    of these names may mean something else in other people's modules: one that fails, that needs
    arguments, or a `fuse` that returns no module (Ultralytics' detectors) leaves its module as it
    was. Whether the outputs are equal is for the caller to check.

    A BatchNorm outside of such modules stays: export's rewrite `fold_batch_norm` folds it, for any
    model. The original is left untouched.
    """
    merged = copy.deepcopy(model).eval()
    _merge_children(merged)
    return merged.eval()  # for modules that were replaced


def _merge_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        merged = _merged(child)
        if merged is not child:
            setattr(module, name, merged)
        _merge_children(merged)


def _merged(module: nn.Module) -> nn.Module:
    method = next((name for name in METHODS if callable(getattr(module, name, None))), None)
    if method is None:
        return module
    changed = copy.deepcopy(module)  # a method may fail halfway
    try:
        result = getattr(changed, method)()
    except Exception:  # noqa: BLE001 - somebody else's method
        return module
    if method != "fuse":
        return changed
    return result if isinstance(result, nn.Module) else module
