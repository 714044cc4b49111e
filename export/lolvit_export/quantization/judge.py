"""How good a quantized artifact is: its logits on tuning images, and its speed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lolvit.manifest import Artifact, Preprocess
from lolvit_export.quantization.timing import speedup
from lolvit_export.verification.devices import runtimes_for
from lolvit_export.verification.verifiers import Logits, top1_agreement
from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.preprocessing import Pixels, to_input
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES

# Interpreters in Python tell numbers, not speed.
UNTIMED = frozenset({"coreml-reference", "litert-reference", "eager"})
# The emulator takes a second an image. ONNX Runtime computes the same file, with other rounding of
# ties: enough to choose by, and the gates are the emulator's.
_STAND_INS = {"qnn": "ort"}


@dataclass(frozen=True)
class Score:
    """The SNR in dB over the logits of all images together, and the share of images with the
    reference's top class."""

    snr_db: float
    top1_agreement: float


class Judge:
    """Compares artifacts of one format with eager PyTorch's logits, and with the fp32 artifact's
    speed. The artifacts are this process's own, so that they run in it."""

    def __init__(
        self,
        fp32_path: Path,
        fp32: Artifact,
        images: Sequence[Pixels],
        references: Sequence[Logits],
        preprocess: Preprocess,
    ) -> None:
        self.runtime = runtimes_for(fp32.format)[0]
        self._runs_in = _STAND_INS.get(self.runtime, self.runtime)
        self._fp32_path, self._fp32 = fp32_path, fp32
        self._images, self._references, self._preprocess = images, references, preprocess
        self._base: Session | None = None

    def score(self, path: Path, artifact: Artifact, count: int | None = None) -> Score:
        """Run an artifact on the first `count` images, or on all."""
        references = self._references[:count]
        with closing(self._open(path, artifact)) as session:
            outputs = [
                session.run(self._input(crop, artifact)).astype(np.float64)  # type: ignore[arg-type]
                for crop in self._images[:count]
            ]
        return Score(
            snr_db(np.concatenate(references), np.concatenate(outputs)),
            top1_agreement(references, outputs),
        )

    def speed(self, path: Path, artifact: Artifact, seconds: float = 1.0) -> float | None:
        """Return how many times as fast as the fp32 artifact this one is, with one thread each;
        None where this machine can't tell."""
        if self.runtime in UNTIMED or self._runs_in != self.runtime:
            return None
        if self._base is None:
            self._base = self._open(self._fp32_path, self._fp32)
        base, crop = self._base, self._images[0]
        image, base_image = self._input(crop, artifact), self._input(crop, self._fp32)
        with closing(self._open(path, artifact)) as session:
            return speedup(
                lambda: session.run(image),  # type: ignore[arg-type]
                lambda: base.run(base_image),  # type: ignore[arg-type]
                seconds=seconds,
            )

    def close(self) -> None:
        """Free the fp32 session."""
        if self._base is not None:
            self._base.close()
            self._base = None

    def _open(self, path: Path, artifact: Artifact) -> Session:
        opened = {"format": RUNTIMES[self._runs_in].format}
        return open_session(self._runs_in, path, artifact.model_copy(update=opened))

    def _input(self, crop: Pixels, artifact: Artifact) -> np.typing.NDArray[np.generic]:
        return to_input(crop, self._preprocess, artifact.input)
