"""Add an export to an Android app: manifest, artifacts and labels in the app's assets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lolvit.errors import MissingExtraError, UserError
from lolvit_runtimes.app_models import PackageOptions, PackageResult, Platform, add_model
from lolvit_runtimes.self_check import write_self_check

ANDROID = Platform(
    "Android",
    {"tflite": "litert", "onnx": "ort"},
    ("classification", "detection", "segmentation"),
    colors=("RGB", "L"),
)
_BUILD_FILES = ("build.gradle", "build.gradle.kts", "src/main/AndroidManifest.xml")
_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_REMEDY = "give an app's module (with build.gradle.kts), or a folder named assets"


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
    """Copy the artifacts that `options` select from an export folder into the assets of the app at
    `directory`, as `add_model` does, with their self-check where their runtimes are installed.

    Raises:
        UserError: as `assets_of` and `add_model`.
        GateFailedError: as `add_model`.
    """
    models = assets_of(directory) / "lolvit"
    return add_model(folder, models, ANDROID, options, _add_self_check)


def _add_self_check(folder: Path) -> None:
    """Write the self-check, or leave it out where a runtime is missing; `lolvit package` prints
    that then."""
    with suppress(MissingExtraError):
        write_self_check(folder)
