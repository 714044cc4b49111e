"""Add an export to an iOS app: the local Swift package `LOLViTModels` beside the app's project.

    APP/LOLViTModels/Package.swift
    APP/LOLViTModels/Sources/LOLViTModels/LOLViTModels.swift
    APP/LOLViTModels/Sources/LOLViTModels/lolvit/NAME/       manifest, artifacts, labels, self-check

The package copies `lolvit` into its resources as it is: Xcode would compile a `.mlpackage` that it
knew of, and change the bytes that the manifest has a sha256 of. No project file is edited.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit_runtimes.app_models import PackageOptions, PackageResult, Platform, add_model
from lolvit_runtimes.self_check import write_self_check

# Half precision first: it is what the Neural Engine computes in.
IOS = Platform(
    "iOS",
    {"coreml": "coreml", "coreai": "coreai"},
    ("classification", "detection", "segmentation"),
    colors=("RGB", "L"),
    precision="fp16",
)
NAME = "LOLViTModels"
_PROJECTS = ("*.xcodeproj", "*.xcworkspace", "Package.swift")
_REMEDY = "give the folder that has your app's .xcodeproj or Package.swift"
_HEADER = "// Written by lolvit package --ios. sha256 of the lines below: {}"
_HEADER_LINE = re.compile(_HEADER.format("([0-9a-f]{64})"))

_PACKAGE = """\
import PackageDescription

let package = Package(
    name: "LOLViTModels",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "LOLViTModels", targets: ["LOLViTModels"])],
    targets: [.target(name: "LOLViTModels", resources: [.copy("lolvit")])],
    swiftLanguageModes: [.v6]
)
"""
_SOURCE = """\
import Foundation

/// The models that `lolvit package --ios` has added to this app.
public enum LOLViTModels {
    /// The folder with a subfolder for each model, such as `lolvit_x-256x256`.
    public static var folder: URL {
        (Bundle.module.resourceURL ?? Bundle.module.bundleURL).appendingPathComponent("lolvit")
    }
}
"""
_TOOLS_VERSION = "// swift-tools-version: 6.0"  # must be the first line


def models_package_of(directory: Path) -> Path:
    """Return the folder of the Swift package in the app's folder `directory`.

    Raises:
        UserError: `directory` is no app's folder, or its `LOLViTModels` was not written by this
            command, or was changed by hand.
    """
    if not directory.is_dir():
        raise UserError("no such folder", where=str(directory), remedy=_REMEDY)
    if directory.suffix in (".xcodeproj", ".xcworkspace"):
        raise UserError("is a project, not an app's folder", where=str(directory), remedy=_REMEDY)
    if not any(True for pattern in _PROJECTS for _ in directory.glob(pattern)):
        raise UserError("is not an app's folder", where=str(directory), remedy=_REMEDY)
    found = directory / NAME
    if found.exists() and not found.is_dir():
        raise UserError("is not a folder", where=str(found), remedy="move it elsewhere")
    if (found / "Package.swift").exists():
        for path in _files(found):
            _require_ours(path)
    elif _has_others(found):
        raise UserError(
            "was not written by lolvit package --ios", where=str(found), remedy="move it elsewhere"
        )
    return found


def package(folder: Path, directory: Path, options: PackageOptions) -> PackageResult:
    """Add the artifacts that `options` select from an export folder, with their self-check, to the
    Swift package of the app at `directory`, which is made at the first time.

    Raises:
        UserError: as `models_package_of` and `add_model`.
        GateFailedError: as `add_model`.
        MissingExtraError: the runtime that computes the expected outputs is not installed.
        DeviceError: that runtime failed.
    """
    found = models_package_of(directory)
    packaged = add_model(folder, _models_of(found), IOS, options, write_self_check)
    for path, text in _files(found).items():
        write_atomic(path, text)
    return packaged


def _models_of(package: Path) -> Path:
    return package / "Sources" / NAME / "lolvit"


def _files(package: Path) -> dict[Path, str]:
    """Return the text of the package's own files by their paths."""
    return {
        package / "Package.swift": f"{_TOOLS_VERSION}\n{_signed(_PACKAGE)}",
        package / "Sources" / NAME / f"{NAME}.swift": _signed(_SOURCE),
    }


def _signed(text: str) -> str:
    """Return a file's text with a header that tells whether it was changed."""
    return f"{_HEADER.format(hashlib.sha256(text.encode()).hexdigest())}\n{text}"


def _has_others(package: Path) -> bool:
    """Whether a package without a Package.swift has files that a killed run can't have left."""
    return any(
        path.is_file() and _models_of(package) not in path.parents and path not in _files(package)
        for path in package.rglob("*")
    )


def _require_ours(path: Path) -> None:
    """Raise an error if a file of the package was written, or changed, by someone else: a release
    of lolvit may replace only what one has written."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    first, _, rest = text.removeprefix(f"{_TOOLS_VERSION}\n").partition("\n")
    header = _HEADER_LINE.fullmatch(first)
    if header is None or hashlib.sha256(rest.encode()).hexdigest() != header[1]:
        raise UserError(
            "was not written by lolvit package --ios, or was changed since",
            where=str(path),
            remedy=f"move {NAME} elsewhere and run it again",
        )
