"""Verify artifacts of one model as each is to be: floats on photos, quantized ones on held-out
images of the data that they were quantized with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.manifest import (
    MANIFEST_NAME,
    Artifact,
    Manifest,
    check_artifact,
    check_file,
    read_manifest,
)
from lolvit.tasks import find_task
from lolvit_export.photos import verification_pixels
from lolvit_export.quantization.images import open_images
from lolvit_export.targets import HOST, devices, runtimes_for
from lolvit_export.verification.program import load_model
from lolvit_export.verification.reference import Evidence, Reference
from lolvit_export.verification.verifiers import Verifiers
from lolvit_runtimes.table import RUNTIMES, require_runtime


@dataclass(frozen=True)
class Verified:
    """What artifacts of an export gave on a device: `manifest` holds those that ran, with the gates
    of this device; `failures` those that a runtime failed on."""

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
) -> Verified:
    """Compare an artifact, or every artifact of an export folder, with eager PyTorch on photos.

    >>> lolvit.verify("out/lolvit_x-256x256").raise_on_failure()  # doctest: +SKIP

    Args:
        path: the folder, or an artifact in it.
        device: host, arm64, litert-gpu, …: one of `lolvit verify --help`.
        progress: called with each step as it begins.

    Raises:
        UserError: there is no export, a file is not what its manifest says, or the device takes
            none of it.
        MissingExtraError: a runtime is not installed.
    """
    say = progress or (lambda step: None)
    folder, wanted = _folder_and_name(Path(path))
    manifest = read_manifest(folder)
    chosen = _taken(_chosen(manifest, wanted, folder), device, folder, say)
    for artifact in chosen:  # every file is checked before any is opened
        check_artifact(folder, artifact)
    weights = check_file(folder, manifest.weights.path, manifest.weights.sha256)
    for runtime in {name for each in chosen for name in runtimes_for(each.format, device)}:
        require_runtime(runtime)  # before minutes of work
    reference = Reference(load_model(manifest, weights), manifest.signature)
    verified: list[Artifact] = []
    failures: list[tuple[str, DeviceError]] = []
    with Verifiers(device=device) as verifiers:
        verification = Verification(reference, manifest, verifiers)
        for artifact in chosen:
            say(f"verify {artifact.path}")
            try:
                verified.append(verification.verify(folder / artifact.path, artifact))
            except DeviceError as error:  # one that crashes stops no other
                failures.append((artifact.path, error))
    result = manifest.model_copy(update={"artifacts": tuple(verified)})
    return Verified(folder, device, result, tuple(failures))


def _folder_and_name(path: Path) -> tuple[Path, str | None]:
    """Split an argument into its export folder and, for one artifact, the name in it."""
    if not path.exists():
        raise UserError("no such artifact", where=str(path), remedy="run: lolvit export")
    if (path / MANIFEST_NAME).exists():
        return path, None
    if path.is_dir() and path.suffix != ".mlpackage":
        return path, None
    if not (path.parent / MANIFEST_NAME).exists():
        raise UserError(
            "has no manifest.json beside it, so nothing says what it should compute",
            where=str(path),
            remedy="give the folder that lolvit export wrote",
        )
    return path.parent, path.name


def _chosen(manifest: Manifest, name: str | None, folder: Path) -> list[Artifact]:
    chosen = [a for a in manifest.artifacts if name in (None, a.path)]
    if not chosen:
        raise UserError(
            f"'{name}' is not in the manifest",
            where=str(folder),
            remedy=f"choose from: {', '.join(a.path for a in manifest.artifacts)}",
        )
    return chosen


def _taken(
    chosen: list[Artifact], device: str, folder: Path, say: Callable[[str], None]
) -> list[Artifact]:
    """Return the artifacts that the device takes, reporting which it doesn't."""
    taken = [artifact for artifact in chosen if runtimes_for(artifact.format, device)]
    if not taken:
        raise UserError(
            f"holds nothing that '{device}' runs",
            where=str(folder),
            remedy=f"export with --to {' or '.join(devices()[device])}",
        )
    for artifact in chosen:
        if artifact not in taken:
            say(f"{artifact.path}: not for {device}")
    return taken


class Verification:
    """What artifacts of one export are compared with; eager runs once on each set of images."""

    def __init__(self, reference: Reference, manifest: Manifest, verifiers: Verifiers) -> None:
        self._reference, self._manifest, self._verifiers = reference, manifest, verifiers
        self._task = find_task(manifest.task)
        self._photos: Evidence | None = None
        self._held_out: dict[tuple[str | None, int | None], Evidence] = {}

    def verify(self, path: Path, artifact: Artifact) -> Artifact:
        """Return the artifact with its gates as they are found now.

        Raises:
            UserError: the images that it was quantized with are not there.
            DeviceError: a runtime refused the artifact.
        """
        given = path, artifact, self._manifest.signature, self._task
        if artifact.quantization is not None:
            evidence = self._evidence(artifact.quantization.calibration, artifact.format)
            return self._verifiers.verify_quantized(*given, evidence)
        if self._photos is None:
            photos = verification_pixels(self._manifest.preprocessing)
            self._photos = Evidence(self._reference, photos, self._manifest.preprocessing)
        return self._verifiers.verify(*given, self._photos)

    def _evidence(self, source: str | None, target: str) -> Evidence:
        """Return held-out images, no more than the target's runtimes are run on."""
        count = most_images(self._verifiers.runtimes(target))
        found = self._held_out.get((source, None)) or self._held_out.get((source, count))
        if found is None:
            manifest = self._manifest
            images = open_images(source, manifest.preprocessing, manifest.labels)
            labels = images.labels[:count] if images.labels is not None else None
            found = Evidence(
                self._reference,
                images.held_out[:count],
                manifest.preprocessing,
                labels=labels,
                trained=manifest.weights.trained,
            )
            self._held_out[source, count] = found
        return found


def most_images(runtimes: tuple[str, ...]) -> int | None:
    """Return how many images are looked at in one of the runtimes at the most; None: all."""
    counts = [RUNTIMES[runtime].verified_on for runtime in runtimes]
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None
