"""Training recipes: typed hyperparameters in TOML, recorded in the checkpoint."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_serializer, field_validator, model_validator

from lolvit.documents import Frozen
from lolvit.errors import UserError
from lolvit.registry import choose
from lolvit.sizes import SMALLEST
from lolvit.text import read_text

_SUFFIX = ".toml"
Side = Annotated[int, Field(ge=SMALLEST)]


class Optimizer(Frozen):
    """What `timm.optim.create_optimizer_v2` takes; norms and biases are not decayed."""

    name: str = "adamw"
    lr: float = Field(gt=0, description="peak learning rate, for the whole batch")
    weight_decay: float = Field(default=0.05, ge=0)
    clip_grad: float | None = Field(default=None, gt=0, description="maximum gradient norm")


class Schedule(Frozen):
    """What `timm.scheduler.create_scheduler_v2` takes, stepped with every update."""

    name: Literal["cosine", "step", "poly", "tanh"] = "cosine"
    warmup_epochs: int = Field(default=5, ge=0)
    warmup_lr: float = Field(default=1e-6, ge=0)
    min_lr: float = Field(default=1e-6, ge=0)


class Augmentation(Frozen):
    """What `timm.data.create_transform` and `timm.data.Mixup` take."""

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 4 / 3)
    hflip: float = Field(default=0.5, ge=0, le=1)
    color_jitter: float = Field(default=0.0, ge=0)
    auto_augment: str | None = Field(default=None, description="such as rand-m9-mstd0.5-inc1")
    random_erasing: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    smoothing: float = Field(default=0.1, ge=0, lt=1)

    @property
    def mixes(self) -> bool:
        """Whether mixup or cutmix is on."""
        return self.mixup > 0 or self.cutmix > 0


class Distillation(Frozen):
    """Soft labels of a teacher: alpha · T² · KL(teacher ‖ student) beside (1 - alpha) of the loss
    (Hinton et al., arXiv:1503.02531)."""

    teacher: str
    weights: str
    alpha: float = Field(default=0.5, gt=0, le=1)
    temperature: float = Field(default=2.0, gt=0)


class Progressive(Frozen):
    """Progressive resizing: smaller images in the first epochs, a fraction `share` of all (as in
    EfficientNetV2, arXiv:2104.00298)."""

    size: int = Field(ge=32, description="side in pixels")
    share: float = Field(gt=0, lt=1)


class QuantizationAware(Frozen):
    """Bits of fake-quantized weights and layer inputs."""

    weights: int = Field(default=8, ge=2, le=8)
    activations: int | None = Field(default=8, ge=4, le=8, description="null: not quantized")


class Recipe(Frozen):
    """The hyperparameters of a training run.

    For detection and segmentation `augmentation` is of torchvision's transforms of images with
    boxes or masks: `scale`, `ratio`, `hflip`, `color_jitter`.
    """

    task: Literal["classification", "detection", "segmentation"] = "classification"
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1, description="over all processes")
    accumulation: int = Field(default=1, ge=1, description="gradient accumulation steps per batch")
    size: tuple[Side, Side] = Field(
        description="height and width of the images in pixels; one number for both"
    )
    crop_pct: float = Field(gt=0, le=1)
    progressive: Progressive | None = None
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    backbone_lr_scale: float = Field(
        default=1.0, ge=0, le=1,
        description="of detection and segmentation: the backbone's learning rate as a share of the"
        " head's; 0 freezes it, with the statistics of its BatchNorm",
    )  # fmt: skip
    cached_views: int = Field(
        default=0, ge=0,
        description="with a frozen backbone: augmented views of each image, whose features are"
        " computed once and kept in a file; 0: each epoch computes its own",
    )  # fmt: skip
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="0: no EMA")
    amp: Literal["none", "bf16", "fp16"] = "none"
    distillation: Distillation | None = None
    quantization_aware: QuantizationAware | None = None
    seed: int = Field(default=0, ge=0)

    @field_validator("size", mode="before")
    @classmethod
    def _both_sides(cls, size: Any) -> Any:
        return (size, size) if isinstance(size, int) else size

    @field_serializer("size")
    def _one_number_if_square(self, size: tuple[int, int]) -> int | list[int]:
        return as_sides(size)

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if self.task == "classification":
            if self.backbone_lr_scale != 1 or self.cached_views:
                raise ValueError(
                    "backbone_lr_scale and cached_views are for detection and segmentation"
                )
            if self.size[0] != self.size[1]:
                raise ValueError("classification takes square images")
            return self
        if self.cached_views and (self.backbone_lr_scale or self.progressive is not None):
            raise ValueError("cached_views needs backbone_lr_scale 0, and no progressive sizes")
        if self.progressive is not None and self.size[0] != self.size[1]:
            raise ValueError("progressive sizes are for square images")
        given = {
            "distillation": self.distillation is not None,
            "quantization_aware": self.quantization_aware is not None,
            "augmentation.auto_augment": self.augmentation.auto_augment is not None,
            "augmentation.random_erasing": self.augmentation.random_erasing > 0,
            "augmentation.mixup or cutmix": self.augmentation.mixes,
        }
        unsupported = [name for name, is_set in given.items() if is_set]
        if unsupported:
            raise ValueError(f"{unsupported[0]} is for classification, not for {self.task}")
        sides = [*self.size, *([self.progressive.size] if self.progressive else [])]
        if any(side % 32 for side in sides) or self.crop_pct != 1:
            raise ValueError(f"{self.task} takes sizes that are multiples of 32, and crop_pct 1")
        return self

    def size_at(self, epoch: int) -> tuple[int, int]:
        """Return height and width of the training images, in an epoch counted from 0."""
        early = self.progressive
        if early is None or early.size >= min(self.size) or epoch >= self.epochs * early.share:
            return self.size
        return early.size, early.size


def as_sides(size: tuple[int, int]) -> int | list[int]:
    """Return a size as documents have it: one number if the image is square, else height and
    width."""
    return size[0] if size[0] == size[1] else list(size)


def recipe_names() -> list[str]:
    """Return the recipes that the package carries."""
    folder = resources.files("lolvit_training") / "recipes"
    return sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in folder.iterdir()
        if entry.name.endswith(_SUFFIX)
    )


def read_recipe(name: str, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe of the package, or of a TOML file, with `changes` made to it; their keys may
    be dotted (`optimizer.lr`).

    Raises:
        UserError: there is no such recipe, or a field is wrong.
    """
    document = _document(name)
    for key, value in changes.items():
        *tables, field = key.split(".")
        table = document
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UserError(f"'{part}' is not a table", where=f"recipe {name}", remedy="fix it")
        table[field] = value
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"field '{field}': {first['msg']}", where=f"recipe {name}", remedy="fix it"
        ) from error


def _document(name: str) -> dict[str, Any]:
    if name.endswith(_SUFFIX):
        path = Path(name)
        try:
            return tomllib.loads(read_text(path, "recipe"))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"not a recipe: {error}", where=name, remedy="write it as TOML"
            ) from error
    choose("recipe", name, recipe_names())
    entry = resources.files("lolvit_training") / "recipes" / f"{name}{_SUFFIX}"
    return tomllib.loads(entry.read_text(encoding="utf-8"))
