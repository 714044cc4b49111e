"""The JavaScript runtimes of the page: which npm packages, which of their files, where they lie.

A wheel of this toolkit can't carry them (70 MB), so one command installs them into the user's
cache; from then on nothing is fetched. A package is used only if it is the one that was tested:
its archive has to match the digest that npm publishes for that version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from lolvit.errors import UserError
from lolvit.files import sha256_of

SETUP_COMMAND = "lolvit setup browser"
INVENTORY = "files.json"  # sha256 of each installed file: written last


@dataclass(frozen=True)
class Package:
    """An npm package: its pinned version, npm's own `integrity` of its archive, the archive's size
    in bytes, and the files that the page uses, each by its path in the package."""

    name: str
    version: str
    integrity: str
    archive_bytes: int
    files: tuple[str, ...]

    @property
    def archive_path(self) -> str:
        """The archive's path at any npm registry."""
        return f"{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


_LITERT_WASM = tuple(
    f"wasm/litert_wasm_{build}internal.{ending}"
    for build in ("", "compat_", "threaded_")
    for ending in ("js", "wasm")
)

PACKAGES = (
    Package(
        "onnxruntime-web", "1.30.0",
        "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        33_106_585,
        # The WebGPU bundle brings its own build of the WASM part; ort.all.bundle is the older one.
        ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm",
         "dist/ort.webgpu.bundle.min.mjs", "dist/ort-wasm-simd-threaded.asyncify.wasm"),
    ),
    Package(
        "@litertjs/core", "2.5.3",
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        11_817_097,
        ("dist/index.js", *_LITERT_WASM),
    ),
    Package(
        "@litertjs/wasm-utils", "2.5.3",
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        4_698,
        ("dist/index.js",),
    ),
)  # fmt: skip


def archive_bytes() -> int:
    """Return the bytes that an installation downloads."""
    return sum(package.archive_bytes for package in PACKAGES)


def versions() -> dict[str, str]:
    """Return the pinned version of each package."""
    return {package.name: package.version for package in PACKAGES}


def place() -> Path:
    """Return the folder of this set of packages in the user's cache; another set has another."""
    pins = json.dumps([[p.name, p.integrity, p.files] for p in PACKAGES])
    digest = hashlib.sha256(pins.encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("lolvit")) / "browser" / digest


def installed(folder: Path | None = None) -> dict[str, Path]:
    """Return each file of the packages by `PACKAGE/PATH`, once all are there as they were
    installed.

    Raises:
        UserError: they are not installed, or a file was changed since.
    """
    folder = folder or place()
    try:
        inventory: dict[str, str] = json.loads((folder / INVENTORY).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"the browser's runtimes ({', '.join(versions())}) are not installed",
            remedy=f"run: {SETUP_COMMAND}",
        ) from error
    files = {name: folder / name for name in _names()}
    for name, path in files.items():
        if not path.is_file() or sha256_of(path) != inventory.get(name):
            raise UserError(
                "is not as it was installed", where=str(path), remedy=f"run: {SETUP_COMMAND}"
            )
    return files


def is_installed() -> bool:
    """Whether an installation was completed; its files are looked at when they are used."""
    return (place() / INVENTORY).is_file()


def _names() -> list[str]:
    return [f"{package.name}/{path}" for package in PACKAGES for path in package.files]
