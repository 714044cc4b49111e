"""What a model for export is asked for, and what it is once it is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from lolvit.manifest import Preprocessing
from lolvit.models.heads.segmentation import ClassMap


@dataclass(frozen=True)
class ModelOptions:
    """The user's options for a model; None: read from the model, or a default.

    `size` is height and width in pixels. `class_map`: a segmentation model returns classes instead
    of logits. `trained` is used for a module, whose weights do not
    record it; `crop_pct`, `interpolation`, `mean`, `std` and `resize` are those of `Preprocessing`.
    """

    size: tuple[int, int] | None = None
    weights: Path | None = None
    calibrate: str | None = None
    num_classes: int | None = None
    in_chans: int | None = None
    labels: Path | tuple[str, ...] | None = None
    task: str | None = None
    trained: bool = True
    name: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    resize: str | None = None
    class_map: bool = False


@dataclass(frozen=True)
class Prepared:
    """An eager model in eval mode, and what the manifest records about it.

    `rebuilt`: whether `create_model(name)` and the state dict restore it; otherwise it is saved as
    a program. `model_args` are more arguments of timm for `create_model`. `task` is None where it
    is inferred from the outputs. `notes` are printed.
    """

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    trained: bool
    source: str
    labels: tuple[str, ...] | None
    colors: tuple[str, ...] | None = None
    task: str | None = None
    data: str | None = None  # the training data, where the checkpoint records it
    rebuilt: bool = True
    model_args: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    class_map: bool = False

    @property
    def exported(self) -> nn.Module:
        """The module whose outputs are those of the artifacts."""
        return ClassMap(self.model) if self.class_map else self.model
