"""Add an export to an app: choose artifacts, check them, and write the model's folder.

An app's library reads `lolvit/NAME/`: the unchanged manifest, the selected artifacts, and
`labels.txt` if the manifest has no labels.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import GateFailedError, UserError
from lolvit.files import size_of, staged_folder, write_atomic
from lolvit.labels import read_labels
from lolvit.manifest import MANIFEST_NAME, Artifact, Manifest, check_artifact, read_manifest
from lolvit.tasks import find_task
from lolvit_runtimes.oldest_runtime import oldest_runtime

LABELS_NAME = "labels.txt"
# aapt leaves out folders that begin with a dot or an underscore.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Platform:
    """What an app's library runs.

    Args:
        name: the platform, as messages name it.
        formats: export targets in the order of preference, with the runtime of `recommended`.
        tasks: the supported ones.
        colors: of the images that the library provides.
        precision: the preferred one where none is recommended; None: the first in the manifest.
    """

    name: str
    formats: Mapping[str, str]
    tasks: tuple[str, ...]
    colors: tuple[str, ...] = ("RGB",)
    precision: str | None = None


@dataclass(frozen=True)
class PackageOptions:
    """What is packaged, and its name; None: chosen from the manifest."""

    formats: tuple[str, ...] | None = None
    precision: str | None = None
    labels: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class PackageResult:
    """What was written to the app."""

    platform: Platform
    folder: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    oldest_runtimes: dict[str, str | None]  # by artifact path
    labelled: bool
    replaced: bool

    @property
    def asset(self) -> str:
        """Its path in the app's assets or resources."""
        return f"lolvit/{self.folder.name}"

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file, or folder, in the model's folder."""
        return {path.name: size_of(path) for path in sorted(self.folder.iterdir())}


def add_model(
    folder: Path,
    models: Path,
    platform: Platform,
    options: PackageOptions,
    addition: Callable[[Path], object] | None = None,
) -> PackageResult:
    """Copy the artifacts that `options` select from an export folder into `models`/NAME,
    atomically; a previous export of the same model and size is replaced. `addition` writes further
    files into the new folder, before it takes its place.

    Raises:
        UserError: a folder, artifact or label file is invalid, the platform's library does not
            support the model, or the target folder holds another one.
        GateFailedError: the artifact failed a gate of its verification.
    """
    manifest = read_manifest(folder)
    if manifest.task not in platform.tasks:
        raise UserError(
            f"its task {manifest.task} is not supported by the {platform.name} library",
            where=str(folder),
            remedy=f"package a model for {' or '.join(platform.tasks)}",
        )
    if manifest.preprocessing.color not in platform.colors:
        provided = " or ".join(platform.colors)
        raise UserError(
            f"its image is {manifest.preprocessing.color}, the {platform.name} library provides "
            f"{provided}",
            where=str(folder),
            remedy=f"package a model for {provided}",
        )
    artifacts = _select(manifest, platform, options, folder)
    labels = _labels(manifest, options, folder)
    target = models / _name(manifest, options, folder)
    replaced = _replaces(target, manifest)
    sources = [check_artifact(folder, artifact) for artifact in artifacts]
    with staged_folder(target) as staging:
        shutil.copyfile(folder / MANIFEST_NAME, staging / MANIFEST_NAME)
        for artifact, source in zip(artifacts, sources, strict=True):
            _copy(source, staging / artifact.path)
            check_artifact(staging, artifact)
        if labels is not None:
            write_atomic(staging / LABELS_NAME, "\n".join(labels) + "\n")
        if addition is not None:
            addition(staging)
    oldest = {a.path: oldest_runtime(target / a.path, a.format) for a in artifacts}
    labelled = labels is not None or manifest.labels is not None
    return PackageResult(platform, target, manifest, artifacts, oldest, labelled, replaced)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder's contents."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _select(
    manifest: Manifest, platform: Platform, options: PackageOptions, folder: Path
) -> tuple[Artifact, ...]:
    """Return one artifact of each format: in the requested precision, or else the recommended one,
    or else in the platform's, or else the most precise one."""
    present = {artifact.format for artifact in manifest.artifacts}
    formats = options.formats or tuple(f for f in platform.formats if f in present)[:1]
    if not formats:
        raise UserError(
            f"has {', '.join(sorted(present)) or 'no artifact'}: none that an {platform.name} app "
            "can run",
            where=str(folder),
            remedy=f"export again with --to {next(iter(platform.formats))}",
        )
    return tuple(_select_format(manifest, platform, f, options, folder) for f in formats)


def _select_format(
    manifest: Manifest, platform: Platform, format: str, options: PackageOptions, folder: Path
) -> Artifact:
    fitting = [
        artifact
        for artifact in manifest.artifacts
        if artifact.format == format and options.precision in (None, artifact.precision)
    ]
    if not fitting:
        precision = f" in {options.precision}" if options.precision else ""
        raise UserError(
            f"has no {format} artifact{precision}",
            where=str(folder),
            remedy=f"has: {', '.join(a.path for a in manifest.artifacts)}",
        )
    best = manifest.recommended.get(platform.formats[format])
    found = next(
        (a for a in fitting if a.path == best),
        next((a for a in fitting if a.precision == platform.precision), fitting[0]),
    )
    _require_runnable(found, folder)
    return found


def _require_runnable(found: Artifact, folder: Path) -> None:
    """Raise an error for an artifact that failed a gate, or whose input an app can't provide."""
    where = str(folder / found.path)
    if failed := found.failed_gates():
        raise GateFailedError(
            f"failed its verification: {'; '.join(failed)}",
            where=where,
            remedy="export it without --for-timing, or choose another with --precision",
        )
    if found.image.dtype != "float32":
        raise UserError(
            f"its input is {found.image.dtype}, the app provides float32",
            where=where,
            remedy="choose another with --precision",
        )
    if found.image.batch != 1:
        raise UserError(
            f"its input is a batch of {found.image.batch} images, the app provides one",
            where=where,
            remedy="export it without --batch",
        )


def _labels(manifest: Manifest, options: PackageOptions, folder: Path) -> tuple[str, ...] | None:
    if options.labels is not None and manifest.labels is not None:
        raise UserError(
            "has labels in its manifest already",
            where=str(folder),
            remedy="leave out --labels, or export again with it",
        )
    if options.labels is None:
        return None
    shapes = {spec.name: spec.shape for spec in manifest.signature.outputs}
    return read_labels(options.labels, find_task(manifest.task).classes(shapes))


def _name(manifest: Manifest, options: PackageOptions, folder: Path) -> str:
    name = options.name or f"{manifest.model}-{manifest.size[0]}x{manifest.size[1]}"
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' is not a valid name of an asset folder",
            where=str(folder),
            remedy="give --name with letters, digits, dots, dashes and underscores",
        )
    return name


def _replaces(target: Path, manifest: Manifest) -> bool:
    """Return whether a previous export of the same model and size is replaced.

    Raises:
        UserError: the target folder holds something else.
    """
    if not target.exists():
        return False
    other = UserError("holds another model", where=str(target), remedy="choose another --name")
    try:
        existing = read_manifest(target)
    except UserError as error:
        raise other from error
    if (existing.model, existing.size) != (manifest.model, manifest.size):
        raise other
    return True
