"""Verify artifacts of one model as each is to be: floats on photos, quantized ones on held-out
images of the data that they were quantized with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from lolvit.manifest import Artifact, Preprocess
from lolvit_export.photos import verification_pixels
from lolvit_export.quantization.gates import Evidence, most_images, verify_quantized
from lolvit_export.quantization.images import open_images
from lolvit_export.verification.verifiers import Logits, Verifiers, eager_logits
from lolvit_runtimes.preprocessing import Pixels


class Verification:
    """What artifacts of one model are compared with; eager runs once on each set of images."""

    def __init__(
        self,
        model: nn.Module,
        preprocess: Preprocess,
        labels: Sequence[str] | None,
        verifiers: Verifiers,
        *,
        trained: bool,
    ) -> None:
        self._model, self._preprocess, self._labels = model, preprocess, labels
        self._verifiers, self._trained = verifiers, trained
        self._photos: tuple[list[Pixels], list[Logits]] | None = None
        self._evidence: dict[tuple[str | None, int | None], Evidence] = {}

    def verify(self, path: Path, artifact: Artifact) -> Artifact:
        """Return the artifact with its gates as they are found now.

        Raises:
            UserError: the images that it was quantized with are not there.
            DeviceError: a runtime refused the artifact.
        """
        if artifact.quantization is not None:
            count = most_images(self._verifiers.runtimes(artifact.format))
            evidence = self._held_out(artifact.quantization.images, count)
            return verify_quantized(self._verifiers, path, artifact, evidence, self._preprocess)
        if self._photos is None:
            photos = verification_pixels(self._preprocess)
            self._photos = photos, eager_logits(self._model, photos, self._preprocess)
        return self._verifiers.verify(path, artifact, *self._photos, self._preprocess)

    def _held_out(self, source: str | None, count: int | None) -> Evidence:
        """Return held-out images, of which no more than `count` are needed, and their logits."""
        found = self._evidence.get((source, None)) or self._evidence.get((source, count))
        if found is None:
            images = open_images(source, self._preprocess, self._labels)
            photos = images.held_out[:count]
            references = eager_logits(self._model, photos, self._preprocess)
            labels = images.labels[:count] if images.labels is not None else None
            found = Evidence(photos, references, labels, self._trained)
            self._evidence[source, count] = found
        return found
