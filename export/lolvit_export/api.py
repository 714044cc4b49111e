"""`lolvit.export`: a model to verified artifacts, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import nn

from lolvit.errors import LolvitError
from lolvit.registry import choose, choose_many
from lolvit.sizes import RESIZES, parse_size
from lolvit_export.pipeline import Progress, export_model
from lolvit_export.prepared import ModelOptions
from lolvit_export.request import ExportRequest, ExportResult
from lolvit_export.targets import precision_names, require_precisions, target_names

DEFAULT_TARGETS = ("onnx", "tflite", "coreml")


def export(
    model: str | nn.Module,
    *,
    size: int | tuple[int, int] | str | None = None,
    targets: Iterable[str] | str = DEFAULT_TARGETS,
    precision: Iterable[str] | str = ("fp32",),
    out: str | os.PathLike[str] = "out",
    batch: int = 1,
    rewrites: bool = True,
    progress: Progress | None = None,
    weights: str | os.PathLike[str] | None = None,
    calibrate: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    task: str | None = None,
    trained: bool = True,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    resize: str | None = None,
    class_map: bool = False,
) -> ExportResult:
    """Export a model to verified artifacts in OUT/NAME-HEIGHTxWIDTH.

    Each artifact is run in its runtime on photos and compared with eager PyTorch in float64; an
    artifact that fails a gate is withheld, the others are written.

    Examples:
        >>> import lolvit, torchvision  # doctest: +SKIP
        >>> model = torchvision.models.mobilenet_v3_small(weights="DEFAULT")
        >>> exported = lolvit.export(model, size=224, targets=["onnx", "tflite"])
        >>> lolvit.load(exported.folder)("photo.jpg").top[0].index
        967

    Args:
        model: a module with one image input (B, C, H, W), C 1, 3 or 4, and one or several output
            tensors in a tuple, list or dict; it is copied and not modified. Or the name of a LOLViT
            variant, of a baseline, timm/NAME, or my_models.py:build, a function in a file.
        size: of the images, in pixels: 224, or (height, width); default: the model's own.
        targets: some of onnx, tflite, coreml, coreai, executorch, torch, qnn.
        precision: some of fp32, fp16, int8, w8a16, w4.
        out: the parent of the export's own folder.
        batch: batch size, for targets that support more than 1.
        rewrites: False leaves the graph as captured, to see their effect.
        progress: called with each step as it begins.
        weights: a checkpoint to load, with its size, labels and preprocessing.
        calibrate: calibration images: a folder, digits, crops or hf:OWNER/NAME.
        num_classes, in_chans: of a model that is created by name; a module's channels are those
            that it runs on.
        labels: names of the classes, or a text file with one a line.
        task: classification, detection, segmentation or tensors; default: the model's own, or
            inferred from the outputs. A model that is created by name gets the task's head.
        trained: False for a module with random weights: BatchNorm is then calibrated on photos.
        name: of the export; default: the model's.
        mean, std, crop_pct, interpolation: preprocessing of a module without a `pretrained_cfg`.
        resize: of detection and segmentation: stretch (the default), letterbox or crop.
        class_map: of segmentation: the graph computes each pixel's class instead of logits.

    Returns:
        The folder, its manifest and notes.

    Raises:
        UserError: the request is invalid; a previous export in the folder is untouched.
        UserError, DeviceError, GateFailedError: a target's converter or runtime failed, or an
            artifact was withheld. The other artifacts are written, and the error's attribute
            `result` has the `ExportResult`.
    """
    given = {} if calibrate is None else {"calibrate": os.fspath(calibrate)}
    request = ExportRequest(
        model=model,
        targets=tuple(choose_many("target", _joined(targets), target_names())),
        precisions=tuple(choose_many("precision", _joined(precision), precision_names())),
        out=Path(out),
        batch=batch,
        rewrites=rewrites,
        options=ModelOptions(
            size=parse_size(_size_text(size)) if size is not None else None,
            weights=Path(weights) if weights is not None else None,
            num_classes=num_classes,
            in_chans=in_chans,
            labels=_label_option(labels),
            task=task,
            trained=trained,
            name=name,
            mean=tuple(mean) if mean is not None else None,
            std=tuple(std) if std is not None else None,
            crop_pct=crop_pct,
            interpolation=interpolation,
            resize=choose("resize", resize, RESIZES) if resize is not None else None,
            class_map=class_map,
            **given,
        ),
    )
    require_precisions(list(request.targets), list(request.precisions))
    exported = export_model(request, progress or (lambda step: None))
    try:
        exported.raise_on_failure()
    except LolvitError as error:
        error.result = exported
        raise
    return exported


def _label_option(
    labels: str | os.PathLike[str] | Sequence[str] | None,
) -> Path | tuple[str, ...] | None:
    if labels is None:
        return None
    return Path(labels) if isinstance(labels, (str, os.PathLike)) else tuple(labels)


def _joined(names: Iterable[str] | str) -> str:
    return names if isinstance(names, str) else ",".join(names)


def _size_text(size: int | tuple[int, int] | str) -> str:
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)
