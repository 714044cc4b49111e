"""Classification: softmax of one output, the logits (1, classes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Meaning
from lolvit.tasks import Agreement, Array, Model, Outputs

DEFAULT_TOP = 5
NEAR_TIE = 0.05  # of probability
# Fewer photos than this without a near tie: near ties count as well.
MIN_CLEAR_PHOTOS = 8


@dataclass(frozen=True)
class Ranked:
    """One class of an image's ranking; `label` is None without labels in the manifest."""

    index: int
    label: str | None
    score: float


@dataclass(frozen=True)
class Classification:
    """The most likely classes of an image, most likely first."""

    top: tuple[Ranked, ...]

    def as_document(self) -> dict[str, Any]:
        """Return the ranking as plain JSON values."""
        return {"top": [asdict(entry) for entry in self.top]}

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per class: its index, label and score."""
        return [(str(e.index), e.label or "-", f"{e.score:.4f}") for e in self.top]


class ClassificationTask:
    """Ranks classes by the softmax of the logits; ties go to the lower index."""

    name = "classification"
    columns = ("class", "label", "score")
    # Top-1 agreement with eager. Half precision may change one near tie in eight images.
    agreement = "top1"
    agreement_thresholds: ClassVar[Mapping[str, float]] = {
        "fp32": 1.0, "fp16": 0.875, "int8": 0.9, "w8a16": 0.95, "w4": 0.9,
    }  # fmt: skip

    def configure(
        self, size: tuple[int, int], postprocessing: Mapping[str, Any]
    ) -> ClassificationTask:
        """Return the task itself: it has no parameters."""
        return self

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether there is one output, float, of shape (batch, classes)."""
        if len(outputs) != 1:
            return False
        _, shape, dtype = outputs[0]
        return len(shape) == 2 and shape[1] > 1 and dtype.startswith("float")

    def meaning(self, name: str) -> Meaning:
        """Return `logits`: there is one output."""
        return "logits"

    def classes(self, outputs: Mapping[str, tuple[int, ...]]) -> int | None:
        """Return the width of the logits."""
        (shape,) = outputs.values()
        return shape[1]

    def postprocessing(self) -> dict[str, Any]:
        """Return the operation that apps apply to the logits."""
        return {"kind": "softmax"}

    def predict(self, outputs: Outputs, model: Model, options: Mapping[str, Any]) -> Classification:
        """Return the `top` (an option, by default 5) most likely classes of one image.

        Raises:
            DeviceError: the logits are not finite.
        """
        logits = logits_of(outputs)
        if not np.isfinite(logits).all():
            raise DeviceError("its logits are not finite")
        scores = softmax(logits)
        order = np.argsort(-scores, kind="stable")[: int(options.get("top", DEFAULT_TOP))].tolist()
        return Classification(
            tuple(
                Ranked(i, model.labels[i] if model.labels else None, float(scores[i]))
                for i in order
            )
        )

    def compare(
        self, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
    ) -> Agreement:
        """Return the share of images with the same top class. Eager's near ties are left out: none
        in fp32, or if fewer than `MIN_CLEAR_PHOTOS` images would remain."""
        pairs = list(zip(references, outputs, strict=True))
        clear = [pair for pair in pairs if precision == "fp32" or _is_clear(pair[0])]
        counted = clear if len(clear) >= MIN_CLEAR_PHOTOS else pairs
        same = sum(logits_of(a).argmax() == logits_of(b).argmax() for a, b in counted)
        left_out = len(pairs) - len(counted)
        return Agreement(float(same) / len(counted), left_out, images=len(counted))

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return whether the top class is the label."""
        return bool(logits_of(outputs).argmax() == label)


def _is_clear(reference: Outputs) -> bool:
    """Whether the top class is `NEAR_TIE` or more ahead of the second in probability."""
    second, first = np.sort(softmax(logits_of(reference)))[-2:]
    return bool(first - second >= NEAR_TIE)


def logits_of(outputs: Outputs) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the logits (classes,) of one image's only output (1, classes), in float64."""
    (logits,) = outputs.values()
    row: Array = logits.reshape(-1)
    return row.astype(np.float64)


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return exp(x) / sum(exp(x)), shifted so that nothing overflows."""
    powers = np.exp(logits - logits.max())
    result: np.ndarray[Any, Any] = powers / powers.sum()
    return result


TASK = ClassificationTask()
