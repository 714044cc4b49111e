"""Prepare a module of the user's own for export: its weights, what its outputs look like."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from lolvit.errors import UserError
from lolvit.manifest import CHANNELS
from lolvit.models.calibrate import check_denormals, make_representative
from lolvit.models.checkpoint import load_weights, read_state
from lolvit.models.factory import CLASSIFICATION, channels_of
from lolvit.models.prefixes import find_wrapped, match_names
from lolvit.weights import find_weights
from lolvit_export.photos import DENORMAL_CHECK_PHOTOS, calibration_images
from lolvit_export.prepared import ModelOptions, Prepared
from lolvit_export.preprocessing_options import resolve_labels, resolve_preprocessing

PROBABILITIES = (
    "its outputs are probabilities: not negative, with the sum 1. What reads a classifier takes the"
    " softmax of its outputs, which makes these nearly equal: return the logits, or the logarithm"
    " of the probabilities, or add --task tensors"
)
SCORES_OF_PIXELS = (
    "its output may be each pixel's scores of the classes: with --task segmentation predictions are"
    " maps of classes, drawn over the photo, instead of arrays"
)
# Pixels of the image to one of a segmentation model's output, in each direction.
COARSEST_SCORES = 8


def from_module(module: nn.Module, reference: str, name: str, options: ModelOptions) -> Prepared:
    """Prepare a copy of the user's module, which comes from `reference`, for an export of that
    name; the module itself is not modified.

    Raises:
        UserError: the weights do not match, or the model fails on photos.
    """
    assert options.size is not None
    model = _copied(module, name).float().eval()
    said = None
    if options.weights is not None:
        said = _load_weights(model, options.weights)
    _compute_normalized_weights(model)
    in_chans = options.in_chans or _channels(model, options.size, name)
    preprocessing, notes = resolve_preprocessing(model, in_chans, options)
    images = torch.from_numpy(calibration_images(preprocessing)[:DENORMAL_CHECK_PHOTOS])
    outputs = _outputs(model, images, name)
    if options.task in (None, CLASSIFICATION) and _are_probabilities(outputs):
        notes = (*notes, PROBABILITIES)
    if options.task is None and _are_scores_of_pixels(outputs, options.size):
        notes = (*notes, SCORES_OF_PIXELS)
    if not options.trained:
        make_representative(model, images)
    check_denormals(model, images, where=name)
    features = getattr(model, "num_classes", None) == 0
    return Prepared(
        name=name,
        model=model,
        preprocessing=preprocessing,
        trained=options.trained,
        source=options.weights.name if options.weights is not None else reference,
        labels=resolve_labels(options.labels, None),
        task=options.task or ("tensors" if features else None),
        rebuilt=False,
        notes=(*notes, said) if said else notes,
    )


def _copied(module: nn.Module, where: str) -> nn.Module:
    """Return a copy of a user's module, or of what it runs in parallel.

    Raises:
        UserError: it can't be captured: it is a TorchScript program, or has no values.
    """
    while isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise UserError(
            "is, or has a part that is, a TorchScript program, whose operations are not captured",
            where=where,
            remedy="give the module that it was made from",
        )
    empty = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if empty:
        raise UserError(
            f"'{empty[0]}' is on the device meta, which holds no values",
            where=where,
            remedy="load its weights (load_state_dict with assign=True)",
        )
    computed = [
        value
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    ]  # which deepcopy refuses: what torch.nn.utils.weight_norm computed last
    return copy.deepcopy(module, {id(value): value.detach().clone() for value in computed})


def _channels(model: nn.Module, size: tuple[int, int], where: str) -> int:
    """Return how many channels an image of `size` has for a model: as many as its first
    convolution takes, if it runs on them. The convolution that comes first in the module need not
    be the first one that runs, it may take pixels that were moved into channels (YOLOX's Focus),
    and there may be none."""
    first = channels_of(model)
    for channels in dict.fromkeys((first, 3, 1, 4)):
        if channels in CHANNELS.values():
            with suppress(UserError):
                _outputs(model, torch.zeros(1, channels, *size), where)
                return channels
    return first


def _compute_normalized_weights(model: nn.Module) -> None:
    """Replace each length and direction of `torch.nn.utils.weight_norm` by the weight, in place."""
    for part in model.modules():
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)


def _load_weights(model: nn.Module, weights: Path) -> str | None:
    """Load a checkpoint into a user's module, or into the network that it wraps; return a note if
    names differ.

    Raises:
        UserError: the file can't be read, or its tensors are not the module's.
    """
    state, own, where = read_state(find_weights(weights))[0], model.state_dict(), str(weights)
    wrapped = find_wrapped(state, own)
    if wrapped is None:
        matched = match_names(state, own)
        load_weights(model, matched.state, where)
        return matched.note(where)
    inner = {wrapped.prefix + name: tensor for name, tensor in state.items()}
    load_weights(model, own | inner, where)
    return wrapped.note(where)


def _outputs(model: nn.Module, images: torch.Tensor, where: str) -> list[torch.Tensor]:
    """Run a model on one image, before anything else can fail because it does not run.

    Raises:
        UserError: it fails, or its outputs are not tensors.
    """
    from lolvit_export.capture import run_once

    return [tensor for _, tensor in run_once(model, images[:1].to(images.dtype), where)]


def _are_probabilities(outputs: list[torch.Tensor]) -> bool:
    """Whether a classifier returns softmax's values instead of logits."""
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return False
    (values,) = outputs
    return bool((values >= 0).all()) and bool((values.sum(1) - 1).abs().max() < 1e-3)


def _are_scores_of_pixels(outputs: list[torch.Tensor], size: tuple[int, int]) -> bool:
    """Whether the only output, (batch, classes, height, width), has the image's size, or this
    divided by a small number."""
    if len(outputs) != 1 or outputs[0].ndim != 4 or outputs[0].shape[1] < 2:
        return False
    factor = size[0] // outputs[0].shape[2]
    return factor <= COARSEST_SCORES and size == tuple(n * factor for n in outputs[0].shape[2:])
