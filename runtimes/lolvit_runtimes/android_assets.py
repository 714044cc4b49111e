"""Puts an export into an Android app: manifest, artifacts and labels among the app's assets.

The app reads `assets/lolvit/NAME/`: the manifest as it was exported, those of its artifacts that
were chosen, and `labels.txt` where the manifest holds no labels.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import GateFailedError, UserError
from lolvit.files import size_of, staged_folder, write_atomic
from lolvit.labels import read_labels
from lolvit.manifest import MANIFEST_NAME, Artifact, Manifest, check_artifact, read_manifest
from lolvit_runtimes.oldest_runtime import oldest_runtime

# What the app has an engine for, the first one preferred; and who recommends one of its artifacts.
FORMATS = {"tflite": "litert", "onnx": "ort"}
TASKS = ("classification",)  # that the Android library knows
LABELS_NAME = "labels.txt"
_BUILD_FILES = ("build.gradle", "build.gradle.kts", "src/main/AndroidManifest.xml")
_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_PLACES = "give an app's module (with build.gradle.kts), or a folder named assets"
# aapt leaves out folders that begin with a dot or an underscore.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PackageOptions:
    """What is packaged, and how it is called; None: chosen from the manifest."""

    formats: tuple[str, ...] | None = None
    precision: str | None = None
    labels: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class PackageResult:
    """What now lies in the app's assets."""

    folder: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    oldest_runtimes: dict[str, str | None]  # of each artifact's path
    labelled: bool
    replaced: bool

    @property
    def asset(self) -> str:
        """Where the app finds it, below its assets."""
        return f"lolvit/{self.folder.name}"

    @property
    def uncompressed(self) -> list[str]:
        """Suffixes that the package keeps uncompressed, so that the app can map the files."""
        return sorted({Path(artifact.path).suffix[1:] for artifact in self.artifacts})

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file in the folder."""
        return {path.name: size_of(path) for path in sorted(self.folder.iterdir())}


def assets_of(directory: Path) -> Path:
    """Return the assets folder that a user means: `directory` where it is named assets, or else
    the one of the Android module that it is.

    Raises:
        UserError: it is neither.
    """
    if directory.name == "assets" and (directory.is_dir() or directory.parent.is_dir()):
        return directory
    if any((directory / name).is_file() for name in _BUILD_FILES):
        if not any((directory / name).is_file() for name in _SETTINGS):
            return directory / "src" / "main" / "assets"
        raise UserError("is a whole Gradle project", where=str(directory), remedy=_PLACES)
    what = "is neither an Android module nor an assets folder" if directory.is_dir() else "missing"
    raise UserError(what, where=str(directory), remedy=_PLACES)


def package(folder: Path, directory: Path, options: PackageOptions) -> PackageResult:
    """Copy what `options` name of the export `folder` into the app at `directory`, whole or not at
    all; an earlier one of the same model and size is replaced.

    Raises:
        UserError: a folder, artifact or label file is not what it should be, or another model has
            the place.
        GateFailedError: the artifact is not equal enough to the model that it was made from.
    """
    assets = assets_of(directory)
    manifest = read_manifest(folder)
    if manifest.task not in TASKS:
        raise UserError(
            f"is a model for {manifest.task}, which the Android library does not have yet",
            where=str(folder),
            remedy=f"package a model for {' or '.join(TASKS)}",
        )
    artifacts = _chosen(manifest, options, folder)
    labels = _labels(manifest, options, folder)
    target = assets / "lolvit" / _name(manifest, options, folder)
    replaced = _replaces(target, manifest)
    sources = [check_artifact(folder, artifact) for artifact in artifacts]
    with staged_folder(target) as staging:
        shutil.copyfile(folder / MANIFEST_NAME, staging / MANIFEST_NAME)
        for artifact, source in zip(artifacts, sources, strict=True):
            (staging / artifact.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, staging / artifact.path)
            check_artifact(staging, artifact)
        if labels is not None:
            write_atomic(staging / LABELS_NAME, "\n".join(labels) + "\n")
    oldest = {a.path: oldest_runtime(target / a.path, a.format) for a in artifacts}
    labelled = labels is not None or manifest.labels is not None
    return PackageResult(target, manifest, artifacts, oldest, labelled, replaced)


def _chosen(manifest: Manifest, options: PackageOptions, folder: Path) -> tuple[Artifact, ...]:
    """Return one artifact of each format: in the precision that is asked for, or else the one that
    its runtime was the fastest with, or else the most exact one."""
    present = {artifact.format for artifact in manifest.artifacts}
    formats = options.formats or tuple(format for format in FORMATS if format in present)[:1]
    if not formats:
        raise UserError(
            f"holds {', '.join(sorted(present)) or 'no artifact'}: none that an app can run",
            where=str(folder),
            remedy="export again with --to tflite",
        )
    return tuple(_of_format(manifest, format, options, folder) for format in formats)


def _of_format(manifest: Manifest, format: str, options: PackageOptions, folder: Path) -> Artifact:
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
    best = manifest.recommended.get(FORMATS[format])
    found = next((a for a in fitting if a.path == best), fitting[0])
    if failed := found.failed_gates():
        raise GateFailedError(
            f"failed its verification: {'; '.join(failed)}",
            where=str(folder / found.path),
            remedy="export it without --for-timing, or choose another with --precision",
        )
    if found.image.dtype != "float32":
        raise UserError(
            f"takes {found.image.dtype}, the app gives float32",
            where=str(folder / found.path),
            remedy="choose another with --precision",
        )
    return found


def _labels(manifest: Manifest, options: PackageOptions, folder: Path) -> tuple[str, ...] | None:
    if options.labels is not None and manifest.labels is not None:
        raise UserError(
            "has labels in its manifest",
            where=str(folder),
            remedy="leave out --labels, or export again with it",
        )
    return read_labels(options.labels, manifest.signature.outputs[0].shape[-1])


def _name(manifest: Manifest, options: PackageOptions, folder: Path) -> str:
    name = options.name or f"{manifest.model}-{manifest.size[0]}x{manifest.size[1]}"
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' can't be the name of an asset folder",
            where=str(folder),
            remedy="give --name with letters, digits, dots, dashes and underscores",
        )
    return name


def _replaces(target: Path, manifest: Manifest) -> bool:
    """Return whether an earlier one of the same model and size is there to be replaced."""
    if not target.exists():
        return False
    other = UserError("is another model's", where=str(target), remedy="choose another --name")
    try:
        there = read_manifest(target)
    except UserError as error:
        raise other from error
    if (there.model, there.size) != (manifest.model, manifest.size):
        raise other
    return True
