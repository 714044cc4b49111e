"""Add an export to an Android app: manifest, artifacts and labels in the app's assets.

The app reads `assets/lolvit/NAME/`: the unchanged manifest, the selected artifacts, and
`labels.txt` if the manifest has no labels.
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

# Formats that the app can run, in order of preference, with the runtime of `recommended`.
FORMATS = {"tflite": "litert", "onnx": "ort"}
TASKS = ("classification",)  # supported by the Android library
LABELS_NAME = "labels.txt"
_BUILD_FILES = ("build.gradle", "build.gradle.kts", "src/main/AndroidManifest.xml")
_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_REMEDY = "give an app's module (with build.gradle.kts), or a folder named assets"
# aapt leaves out folders that begin with a dot or an underscore.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PackageOptions:
    """What is packaged, and its name; None: chosen from the manifest."""

    formats: tuple[str, ...] | None = None
    precision: str | None = None
    labels: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class PackageResult:
    """What was written to the app's assets."""

    folder: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    oldest_runtimes: dict[str, str | None]  # by artifact path
    labelled: bool
    replaced: bool

    @property
    def asset(self) -> str:
        """Its path in the app's assets."""
        return f"lolvit/{self.folder.name}"

    @property
    def uncompressed(self) -> list[str]:
        """File suffixes that the APK stores uncompressed, so that the app can memory-map them."""
        return sorted({Path(artifact.path).suffix[1:] for artifact in self.artifacts})

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file in the folder."""
        return {path.name: size_of(path) for path in sorted(self.folder.iterdir())}


def assets_of(directory: Path) -> Path:
    """Return the assets folder: `directory` if it is named assets, else that of the Android module
    `directory`.

    Raises:
        UserError: it is neither.
    """
    if directory.name == "assets" and (directory.is_dir() or directory.parent.is_dir()):
        return directory
    if any((directory / name).is_file() for name in _BUILD_FILES):
        if not any((directory / name).is_file() for name in _SETTINGS):
            return directory / "src" / "main" / "assets"
        raise UserError("is a Gradle project, not a module", where=str(directory), remedy=_REMEDY)
    what = "is neither an Android module nor an assets folder"
    raise UserError(
        what if directory.is_dir() else "no such folder", where=str(directory), remedy=_REMEDY
    )


def package(folder: Path, directory: Path, options: PackageOptions) -> PackageResult:
    """Copy the artifacts that `options` select from an export folder into the app at `directory`,
    atomically; a previous export of the same model and size is replaced.

    Raises:
        UserError: a folder, artifact or label file is invalid, or the target folder holds another
            model.
        GateFailedError: the artifact failed a gate of its verification.
    """
    assets = assets_of(directory)
    manifest = read_manifest(folder)
    if manifest.task not in TASKS:
        raise UserError(
            f"its task {manifest.task} is not supported by the Android library",
            where=str(folder),
            remedy=f"package a model for {' or '.join(TASKS)}",
        )
    artifacts = _select(manifest, options, folder)
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


def _select(manifest: Manifest, options: PackageOptions, folder: Path) -> tuple[Artifact, ...]:
    """Return one artifact of each format: in the requested precision, or else the recommended one,
    or else the most precise one."""
    present = {artifact.format for artifact in manifest.artifacts}
    formats = options.formats or tuple(format for format in FORMATS if format in present)[:1]
    if not formats:
        raise UserError(
            f"has {', '.join(sorted(present)) or 'no artifact'}: none that an Android app can run",
            where=str(folder),
            remedy="export again with --to tflite",
        )
    return tuple(_select_format(manifest, format, options, folder) for format in formats)


def _select_format(
    manifest: Manifest, format: str, options: PackageOptions, folder: Path
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
            f"its input is {found.image.dtype}, the app provides float32",
            where=str(folder / found.path),
            remedy="choose another with --precision",
        )
    return found


def _labels(manifest: Manifest, options: PackageOptions, folder: Path) -> tuple[str, ...] | None:
    if options.labels is not None and manifest.labels is not None:
        raise UserError(
            "has labels in its manifest already",
            where=str(folder),
            remedy="leave out --labels, or export again with it",
        )
    return read_labels(options.labels, manifest.signature.outputs[0].shape[-1])


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
