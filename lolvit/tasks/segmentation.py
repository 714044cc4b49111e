"""Semantic segmentation: the logits (1, C, H/8, W/8) of each pixel's class, or the map of classes
(1, H, W) itself.

The map of classes is defined on the input's pixels: bilinear upsampling of the logits with
half-pixel centres, then the class of the largest, ties by the lower class. The photo's pixels take
the class of the input's pixel in which their centre lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from lolvit.documents import Frozen, validate
from lolvit.drawing import draw_map, palette
from lolvit.errors import DeviceError, UserError
from lolvit.jackknife import jackknife_variance
from lolvit.manifest import Meaning
from lolvit.tasks import ONE_SIDED_95, Agreement, Array, Metric, Model, Outputs
from lolvit.upsampling import upsample, upsampled_classes

MAX_CLASSES = 255  # 255 means: no class
CLASS_MAP = "class_map"  # the kind of postprocessing of a model that computes the map itself
# A class with a smaller share of eager's pixels is left out of the mean intersection over union.
MIN_SHARE = 0.002
WORST_CLASS_RECALL = 0.5
# Eager's two most likely classes differ by less than this in probability: rounding may turn them.
NEAR_TIE = 0.02
MAX_LEFT_OUT = 0.05


class MapParameters(Frozen):
    """How logits become a map of classes: the manifest's `postprocessing`."""

    kind: Literal["argmax"] = "argmax"
    upsample: Literal["bilinear_half_pixel"] = "bilinear_half_pixel"
    ignore: int = Field(default=255, ge=0, le=255, description="value of pixels without a class")


class ClassMapParameters(Frozen):
    """The parameters of a model that computes the map of classes itself."""

    kind: Literal["class_map"]
    num_classes: int = Field(ge=2, le=MAX_CLASSES)
    ignore: int = Field(default=255, ge=0, le=255, description="value of pixels without a class")


@dataclass(frozen=True)
class SegmentationMap:
    """Each pixel's class, uint8 (height, width) on the photo, `ignore` where the model did not see
    the photo."""

    classes: npt.NDArray[np.uint8]
    labels: tuple[str, ...] | None
    ignore: int
    colors: tuple[tuple[int, int, int], ...] = field(repr=False)

    def shares(self) -> dict[int, float]:
        """Return the share of the photo's pixels of each class that occurs, largest first."""
        counts = np.bincount(self.classes.ravel(), minlength=256)
        order = np.argsort(-counts, kind="stable")
        return {
            int(i): float(counts[i] / self.classes.size)
            for i in order
            if counts[i] and i != self.ignore
        }

    def as_document(self) -> dict[str, Any]:
        """Return the map's size and the share of each class as plain JSON values."""
        return {
            "size": list(self.classes.shape),
            "classes": [
                {"index": index, "label": self.labels[index] if self.labels else None,
                 "share": share}
                for index, share in self.shares().items()
            ],
        }  # fmt: skip

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per class: index, label and share of pixels."""
        return [
            (str(index), self.labels[index] if self.labels else "-", f"{share:.2%}")
            for index, share in self.shares().items()
        ]

    def draw(self, photo: Image.Image) -> Image.Image:
        """Return a copy of the photo with each pixel's class as a translucent colour."""
        return draw_map(photo, self.classes, self.colors, self.ignore)


@dataclass(frozen=True)
class SegmentationTask:
    """Finds each pixel's class; `size` is the input's height and width in pixels."""

    size: tuple[int, int] | None = None
    parameters: MapParameters | ClassMapParameters = field(default_factory=MapParameters)

    name: ClassVar[str] = "segmentation"
    columns: ClassVar[tuple[str, ...]] = ("class", "label", "pixels")
    # Share of pixels with eager's class.
    agreement: ClassVar[str | None] = "pixel_agreement"
    agreement_thresholds: ClassVar[Mapping[str, float]] = {
        "fp32": 0.999, "fp16": 0.98, "int8": 0.94, "w8a16": 0.97, "w4": 0.94,
    }  # fmt: skip

    def configure(
        self, size: tuple[int, int], postprocessing: Mapping[str, Any]
    ) -> SegmentationTask:
        """Return the task for an input size and the manifest's parameters."""
        given, where, remedy = dict(postprocessing), "postprocessing", "export again"
        parameters: MapParameters | ClassMapParameters
        if given.get("kind") == CLASS_MAP:
            parameters = validate(ClassMapParameters, given, where, remedy=remedy)
        else:
            parameters = validate(MapParameters, given, where, remedy=remedy)
        return replace(self, size=size, parameters=parameters)

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether there is one output: float of shape (B, C, h, w), of 2 to 255 classes; or, of a
        model that computes the map, integer of shape (B, H, W)."""
        if len(outputs) != 1:
            return False
        _, shape, dtype = outputs[0]
        if isinstance(self.parameters, ClassMapParameters):
            fits = len(shape) == 3 and self.size in (None, shape[1:])
            return fits and not dtype.startswith("float")
        return len(shape) == 4 and 2 <= shape[1] <= MAX_CLASSES and dtype.startswith("float")

    def meaning(self, name: str) -> Meaning:
        """Return `logits` or `classes`: there is one output."""
        return "classes" if isinstance(self.parameters, ClassMapParameters) else "logits"

    def classes(self, outputs: Mapping[str, tuple[int, ...]]) -> int | None:
        """Return the number of classes."""
        (shape,) = outputs.values()
        return self._count(shape)

    def _count(self, shape: tuple[int, ...]) -> int:
        parameters = self.parameters
        return parameters.num_classes if isinstance(parameters, ClassMapParameters) else shape[1]

    def postprocessing(self) -> dict[str, Any]:
        """Return the parameters that apps make the map with."""
        return self.parameters.model_dump(mode="json")

    def predict(
        self, outputs: Outputs, model: Model, options: Mapping[str, Any]
    ) -> SegmentationMap:
        """Return the map of one image on the photo.

        Raises:
            DeviceError: the logits are not finite.
        """
        classes = self.decoded(outputs)
        (output,) = outputs.values()
        return SegmentationMap(
            model.placement.map_on_photo(classes, self.parameters.ignore),
            model.labels,
            self.parameters.ignore,
            tuple(palette(self._count(output.shape), model.colors)),
        )

    def decoded(self, outputs: Outputs) -> npt.NDArray[np.uint8]:
        """Return one image's classes on the input's pixels, uint8 (H, W).

        Raises:
            DeviceError: the logits are not finite, or there is a class that does not exist.
        """
        if isinstance(self.parameters, ClassMapParameters):
            (found,) = outputs.values()
            if found.min() < 0 or found.max() >= self.parameters.num_classes:
                raise DeviceError(f"its map has classes beyond {self.parameters.num_classes}")
            classes: npt.NDArray[np.uint8] = found[0].astype(np.uint8)
            return classes
        return upsampled_classes(*self._logits(outputs))

    def _logits(self, outputs: Outputs) -> tuple[Array, tuple[int, int]]:
        """Return one image's logits (C, h, w), and the input's size."""
        if self.size is None:
            raise UserError("the model's input size is unknown", remedy="export again")
        (logits,) = outputs.values()
        if not np.isfinite(logits).all():
            raise DeviceError("its logits are not finite")
        return logits[0], self.size

    def compare(
        self, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
    ) -> Agreement:
        """Return the share of pixels with eager's class; beside it the mean intersection over
        union over the classes that eager sees, and the recall of the worst of them.

        Eager's near ties that turned are left out, in number, up to `MAX_LEFT_OUT` of all pixels;
        none in fp32, nor of models that compute the map, whose ties are unknown. Except in fp32,
        the threshold of the mean intersection over union is lower by what may be chance with so few
        images.
        """
        (first, *_) = references[0].values()
        count = self._count(first.shape)
        has_logits = not isinstance(self.parameters, ClassMapParameters)
        of_images = []  # [eager's class, the artifact's]
        ties = 0
        for reference, output in zip(references, outputs, strict=True):
            own, found = self.decoded(reference).astype(np.int64), self.decoded(output)
            near = own != found
            if has_logits and precision != "fp32":
                near &= _near_ties(upsample(*self._logits(reference)))
            else:
                near[:] = False
            ties += int(near.sum())
            counted = ~near
            pairs = own[counted] * count + found[counted]
            of_images.append(np.bincount(pairs, minlength=count * count).reshape(count, count))
        confusion = np.sum(of_images, axis=0)
        total = int(confusion.sum()) + ties
        threshold = self.agreement_thresholds[precision]
        excess = max(0, ties - int(MAX_LEFT_OUT * total))
        right = np.diag(confusion)
        support = confusion.sum(1)
        seen = support >= MIN_SHARE * total
        miou = float(_ious(confusion)[seen].mean())
        allowed = (
            0.0 if precision == "fp32" else ONE_SIDED_95 * _miou_error(np.array(of_images), seen)
        )
        others = (
            Metric("miou", miou, round(threshold - allowed, 4)),
            Metric("worst_class_recall", float((right[seen] / support[seen]).min()),
                   WORST_CLASS_RECALL),
        )  # fmt: skip
        agreed = float(right.sum() / (total - ties + excess))
        return Agreement(agreed, ties - excess, others)

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return None: an image has no single label."""
        return None


def _ious(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the intersection over union of each class, (..., C) of (..., C, C); 1 of a class that
    does not occur."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - right
    return np.where(union > 0, right / np.maximum(union, 1), 1.0)


def _miou_error(confusions: npt.NDArray[np.int64], seen: npt.NDArray[np.bool_]) -> float:
    """Return the standard error of the mean intersection over union of the seen classes, over
    images (N, C, C)."""
    without = _ious(confusions.sum(0) - confusions)[:, seen].mean(1)  # (N,)
    return float(np.sqrt(jackknife_variance(without)))


def _near_ties(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether the two largest of logits (C, H, W) differ by less than `NEAR_TIE` in probability."""
    second, first = np.partition(logits, -2, axis=0)[-2:]
    total = np.exp(logits - first).sum(0)
    near: npt.NDArray[np.bool_] = (1 - np.exp(second - first)) / total < NEAR_TIE
    return near


TASK = SegmentationTask()
