"""What an export is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from lolvit.errors import GateFailedError, LolvitError
from lolvit.manifest import Artifact, Manifest
from lolvit_export.prepared import ModelOptions
from lolvit_export.targets import find_target
from lolvit_export.verification.words import AFTER_QUANTIZING, AFTER_QUANTIZING_RANDOM
from lolvit_runtimes.qnn_socs import Soc


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and to which folder."""

    model: str | nn.Module
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    out: Path
    options: ModelOptions = field(default_factory=ModelOptions)
    batch: int = 1
    rewrites: bool = True
    plans: tuple[Path, ...] = ()  # quantization plans, used instead of a search
    socs: tuple[Soc, ...] = ()  # SoCs that qnn artifacts are compiled for
    # Of untrained weights: keep artifacts that fail their gates, and quantize for speed alone.
    for_timing: bool = False
    keep_failed: bool = False  # keep withheld artifacts, under names that say so
    nms: bool = False  # also write detectors with non-maximum suppression in their graph

    def quantized(self, target: str) -> list[str]:
        """Return the requested precisions that are made by quantization for a target."""
        return [name for name in find_target(target).quantized if name in self.precisions]


@dataclass(frozen=True)
class ExportResult:
    """An export: its folder and the manifest written there; the artifacts that were withheld
    because they failed a gate, and the names of their files where the request keeps them; by
    target, the failures of converters and runtimes; and the names of the files with non-maximum
    suppression. `folder` does not exist if nothing was written."""

    folder: Path
    manifest: Manifest
    withheld: tuple[Artifact, ...] = ()
    failures: Mapping[str, LolvitError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failed_files: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every requested artifact was written."""
        return not self.withheld and not self.failures

    def raise_on_failure(self) -> None:
        """Check that every target was written and no artifact withheld.

        Raises:
            UserError: a target's converter cannot convert the model.
            DeviceError: a target's runtime failed on its artifact.
            GateFailedError: an artifact was withheld; the message names the failed gates.
        """
        if self.failures:
            first = next(iter(self.failures.values()))
            others = [artifact.path for artifact in self.manifest.artifacts]
            failed = [line for artifact in self.withheld for line in artifact.failed_gates()]
            raise type(first)(
                "; ".join([*(error.what for error in self.failures.values()), *failed]),
                where=str(self.folder),
                remedy=f"the others were written: {', '.join(others)}"
                if others
                else "nothing was written",
            )
        self._check_gates()

    def _check_gates(self) -> None:
        if not self.withheld:
            return
        failed = [line for artifact in self.withheld for line in artifact.failed_gates()]
        kept = [artifact.path for artifact in self.manifest.artifacts]
        written = f"written without it: {', '.join(kept)}" if kept else "nothing was written"
        if self.failed_files:
            written += f"; kept to look into: {', '.join(self.failed_files)}"
        quantized = any(a.precision in find_target(a.format).quantized for a in self.withheld)
        trained = self.manifest.weights.trained
        advice = AFTER_QUANTIZING if trained else AFTER_QUANTIZING_RANDOM
        raise GateFailedError(
            f"verification failed: {'; '.join(failed)}",
            where=str(self.folder),
            remedy=f"{written}; {advice}" if quantized else written,
        )
