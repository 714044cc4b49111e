"""Verify the artifacts of an export: float ones on photos, quantized ones on held-out images of
their calibration data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.files import FOLDER_ARTIFACTS
from lolvit.manifest import (
    MANIFEST_NAME,
    Artifact,
    Manifest,
    check_artifact,
    check_file,
    read_manifest,
)
from lolvit.output import Finished
from lolvit.tasks import configured
from lolvit_export.quantization.images import open_images
from lolvit_export.targets import HOST, devices, runtimes_for
from lolvit_export.verification.images import verification_images
from lolvit_export.verification.manifest_check import check_manifest
from lolvit_export.verification.program import load_model, training_data
from lolvit_export.verification.reference import Reference, ReferenceData
from lolvit_export.verification.verifiers import Verifiers
from lolvit_runtimes.table import RUNTIMES, require_runtime


@dataclass(frozen=True)
class VerificationResult:
    """The verification of an export on a device: `manifest` has the artifacts that ran, with the
    gates of this device; `failures` the artifacts, by path, that a runtime failed on."""

    folder: Path
    device: str
    manifest: Manifest
    failures: tuple[tuple[str, DeviceError], ...]

    def raise_on_failure(self) -> None:
        """Check that every artifact ran and passed its gates.

        Raises:
            DeviceError: a runtime failed on one.
            GateFailedError: one failed a gate.
        """
        if self.failures:
            raise DeviceError(
                "; ".join(f"{name}: {error.what}" for name, error in self.failures),
                where=str(self.folder),
            )
        if failed := self.manifest.failed_gates():
            raise GateFailedError(
                f"verification failed: {'; '.join(failed)}",
                where=str(self.folder),
                remedy="do not ship it: export again",
            )


def verify(
    path: str | os.PathLike[str],
    *,
    device: str = HOST,
    progress: Callable[[str], None] | None = None,
) -> VerificationResult:
    """Compare an artifact, or every artifact of an export folder, with eager PyTorch on photos.

    Examples:
        >>> lolvit.verify("out/lolvit_x-256x256").raise_on_failure()  # doctest: +SKIP

    Args:
        path: the folder, or an artifact in it.
        device: host, arm64, litert-gpu, …: one of `lolvit verify --help`.
        progress: called with each step as it begins.

    Returns:
        The artifacts with their gates on this device, and the failures.

    Raises:
        UserError: there is no export, a file does not match the manifest, the device supports
            none of the artifacts, or eager PyTorch's outputs are not finite.
        GateFailedError: the manifest's preprocessing or labels are not the model's.
        MissingExtraError: a runtime is not installed.
    """
    report = progress or (lambda step: None)
    folder, name = _folder_and_name(Path(path))
    manifest = read_manifest(folder)
    chosen = _supported(_select(manifest, name, folder), device, folder, report)
    for artifact in chosen:  # every file is checked before any is opened
        check_artifact(folder, artifact)
    weights = check_file(folder, manifest.weights.path, manifest.weights.sha256)
    check_manifest(manifest, weights)
    for runtime in {name for each in chosen for name in runtimes_for(each.format, device)}:
        require_runtime(runtime)  # before minutes of work
    report("eager PyTorch on photos")
    reference = Reference(load_model(manifest, weights), manifest.signature, str(weights))
    data = training_data(weights)
    with Verifiers(device=device) as verifiers:
        verification = Verification(reference, manifest, verifiers, data=data, say=report)
        verified, failures = _each(verification, chosen, folder, report)
    result = manifest.model_copy(update={"artifacts": tuple(verified)})
    return VerificationResult(folder, device, result, tuple(failures))


def _each(
    verification: Verification,
    artifacts: Sequence[Artifact],
    folder: Path,
    report: Callable[[str], None],
) -> tuple[list[Artifact], list[tuple[str, DeviceError]]]:
    """Return the artifacts that ran, with their gates, and the failures of the others by path."""
    verified: list[Artifact] = []
    failures: list[tuple[str, DeviceError]] = []
    for artifact in artifacts:
        report(f"verify {artifact.path}")
        try:
            verified.append(verification.verify(folder / artifact.path, artifact))
        except DeviceError as error:
            failures.append((artifact.path, error))
    return verified, failures


def _folder_and_name(path: Path) -> tuple[Path, str | None]:
    """Split a path into its export folder and, for one artifact, its name there."""
    if not path.exists():
        raise UserError("no such artifact", where=str(path), remedy="run: lolvit export")
    if (path / MANIFEST_NAME).exists():
        return path, None
    if path.is_dir() and path.suffix not in FOLDER_ARTIFACTS:
        return path, None
    if not (path.parent / MANIFEST_NAME).exists():
        raise UserError(
            "has no manifest.json beside it to verify it against",
            where=str(path),
            remedy="give the folder that lolvit export wrote",
        )
    return path.parent, path.name


def _select(manifest: Manifest, name: str | None, folder: Path) -> list[Artifact]:
    chosen = [a for a in manifest.artifacts if name in (None, a.path)]
    if not chosen:
        raise UserError(
            f"'{name}' is not in the manifest",
            where=str(folder),
            remedy=f"choose from: {', '.join(a.path for a in manifest.artifacts)}",
        )
    return chosen


def _supported(
    chosen: list[Artifact], device: str, folder: Path, report: Callable[[str], None]
) -> list[Artifact]:
    """Return the artifacts that the device supports, and report the others."""
    supported = [artifact for artifact in chosen if runtimes_for(artifact.format, device)]
    if not supported:
        raise UserError(
            f"has no artifact that device '{device}' supports",
            where=str(folder),
            remedy=f"export with --to {' or '.join(devices()[device])}",
        )
    for artifact in chosen:
        if artifact not in supported:
            report(Finished(f"{artifact.path}: not supported on {device}"))
    return supported


class Verification:
    """Verifies artifacts of one export; eager PyTorch runs once on each set of images.

    `data` is the data set that the weights record; `say` is called with what the float artifacts
    are verified on, where that is not the bundled photos alone.
    """

    def __init__(
        self,
        reference: Reference,
        manifest: Manifest,
        verifiers: Verifiers,
        *,
        data: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._reference, self._manifest, self._verifiers = reference, manifest, verifiers
        self._data, self._say = data, say
        self._task = configured(manifest)
        self._photos: ReferenceData | None = None
        self._held_out: dict[tuple[str | None, int | None], ReferenceData] = {}

    def verify(self, path: Path, artifact: Artifact) -> Artifact:
        """Return the artifact with newly evaluated gates.

        Raises:
            UserError: its calibration data is missing.
            DeviceError: a runtime can't open or run the artifact.
        """
        given = path, artifact, self._manifest.signature, self._task
        if artifact.quantization is not None:
            data = self._held_out_data(artifact.quantization.calibration, artifact.format)
            return self._verifiers.verify(*given, data)
        if self._photos is None:
            preprocessing = self._manifest.preprocessing
            images = verification_images(preprocessing, self._manifest.task, self._data)
            if images.note is not None:
                self._say(Finished(images.note))
            self._photos = ReferenceData(self._reference, images.pixels, preprocessing)
        return self._verifiers.verify(*given, self._photos)

    def _held_out_data(self, source: str | None, target: str) -> ReferenceData:
        """Return held-out images, as many as the target's runtimes need."""
        count = max_images(self._verifiers.runtimes(target))
        found = self._held_out.get((source, None)) or self._held_out.get((source, count))
        if found is None:
            manifest = self._manifest
            images = open_images(
                source, manifest.preprocessing, manifest.labels, task=manifest.task
            )
            found = ReferenceData(
                self._reference,
                images.held_out[:count],
                manifest.preprocessing,
                truth=images.truth.first(count) if images.truth is not None else None,
                trained=manifest.weights.trained,
            )
            self._held_out[source, count] = found
        return found


def max_images(runtimes: tuple[str, ...]) -> int | None:
    """Return the largest number of images that one of the runtimes runs; None: all."""
    counts = [RUNTIMES[runtime].verified_on for runtime in runtimes]
    limited = [count for count in counts if count is not None]
    return max(limited) if len(limited) == len(counts) else None
