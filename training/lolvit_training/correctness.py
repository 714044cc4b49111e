"""Which images of a test set a run's final model gets right: the file for paired comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from lolvit.documents import Frozen, read_document
from lolvit.manifest import Sha256

CORRECTNESS: Final = "correct.json"


class EvaluatedImages(NamedTuple):
    """What is compared to know whether two runs were evaluated on the same images in the same
    order: the data set's name, the number of images, and a digest of what is known of them."""

    data: str
    images: int
    sha256: str


class Correctness(Frozen):
    """The images of a test set, in its order, that a model gets right: a bit each, in hexadecimal
    digits, the first image in the highest bit of the first digit."""

    schema_version: Literal[1] = 1
    data: str
    images: int = Field(ge=1)
    labels_sha256: Sha256
    correct: Annotated[str, Field(pattern="^[0-9a-f]*$")]

    @model_validator(mode="after")
    def _has_a_bit_for_each_image(self) -> Self:
        if len(self.correct) != 2 * -(-self.images // 8):
            raise ValueError(f"{len(self.correct)} digits for {self.images} images")
        return self

    @classmethod
    def of(cls, data: str, labels: Sequence[int], right: npt.NDArray[np.bool_]) -> Self:
        """Return the document of images with these labels, of which some are right, (images,)."""
        listed = np.asarray(labels, "<i8").tobytes()
        return cls(
            data=data,
            images=len(labels),
            labels_sha256=hashlib.sha256(listed).hexdigest(),
            correct=np.packbits(right).tobytes().hex(),
        )

    def right(self) -> npt.NDArray[np.bool_]:
        """Return whether each image is right, (images,)."""
        bits = np.frombuffer(bytes.fromhex(self.correct), np.uint8)
        return np.unpackbits(bits, count=self.images).astype(bool)

    @property
    def evaluated_images(self) -> EvaluatedImages:
        """Return what the images are known by."""
        return EvaluatedImages(self.data, self.images, self.labels_sha256)


def read_correctness(folder: Path) -> Correctness:
    """Read the file in a run's folder.

    Raises:
        UserError: it is missing or invalid.
    """
    return read_document(
        folder / CORRECTNESS,
        Correctness,
        kind="file of the test images that a run gets right",
        remedy="run the same command again: it evaluates the run",
    )
