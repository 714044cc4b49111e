"""The JavaScript runtimes of the page: pinned npm packages, installed once into the user's cache.

A wheel of this toolkit can't contain them (70 MB). Afterwards nothing is fetched. A package is used
only if its archive has the digest that npm publishes for the pinned version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lolvit.cache import cache_folder
from lolvit.errors import DeviceError, UserError
from lolvit.files import sha256_of, staged_folder, write_atomic

Say = Callable[[str], None]

SETUP_COMMAND = "lolvit setup browser"
PUBLIC_REGISTRY = "https://registry.npmjs.org/"
_TIMEOUT_S = 60.0
INVENTORY = "files.json"  # sha256 of each installed file: written last


@dataclass(frozen=True)
class Package:
    """An npm package: pinned version, npm's `integrity` of the archive, size of the archive in
    bytes, and the files that the page uses, by their paths in the package."""

    name: str
    version: str
    integrity: str
    archive_bytes: int
    files: tuple[str, ...]

    @property
    def archive_path(self) -> str:
        """Path of the archive in any npm registry."""
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
    """Return the size of the download in bytes."""
    return sum(package.archive_bytes for package in PACKAGES)


def versions() -> dict[str, str]:
    """Return the pinned version of each package."""
    return {package.name: package.version for package in PACKAGES}


def place() -> Path:
    """Return the folder of this set of packages in the user's cache."""
    pins = json.dumps([[p.name, p.integrity, p.files] for p in PACKAGES])
    digest = hashlib.sha256(pins.encode()).hexdigest()[:16]
    return cache_folder() / "browser" / digest


def installed(folder: Path | None = None) -> dict[str, Path]:
    """Return each installed file by `PACKAGE/PATH`, after checking its sha256.

    Raises:
        UserError: the packages are not installed, or a file is missing or changed.
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
                "is not as it was installed",
                where=str(path),
                remedy=f"run: {SETUP_COMMAND}",
            )
    return files


def is_installed() -> bool:
    """Whether an installation was completed; `installed` checks its files."""
    return (place() / INVENTORY).is_file()


def _names() -> list[str]:
    return [f"{package.name}/{path}" for package in PACKAGES for path in package.files]


def registry() -> str:
    """Return the npm registry: that of `npm_config_registry`, else of npm's configuration, else the
    public one."""
    named = (os.environ.get(name) for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"))
    asked = next(filter(None, named), None)
    return (asked or _configured() or PUBLIC_REGISTRY).rstrip("/") + "/"


def _configured() -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        done = subprocess.run(
            [npm, "config", "get", "registry"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = done.stdout.strip()
    return found if found.startswith(("https://", "http://")) else None


def install(say: Say, folder: Path | None = None, source: str | None = None) -> Path:
    """Download, verify and unpack all packages; return their folder, which is replaced as a whole.

    Raises:
        DeviceError: the registry can't be reached, or an archive is not the pinned one.
        UserError: the cache can't be written.
    """
    folder, source = folder or place(), source or registry()
    with staged_folder(folder) as staging:
        for package in PACKAGES:
            say(f"{package.name} {package.version}, {package.archive_bytes / 1e6:.1f} MB")
            _unpack(_download(package, source), package, staging)
        _make_relative(staging)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        inventory = {path.relative_to(staging).as_posix(): sha256_of(path) for path in files}
        write_atomic(staging / INVENTORY, json.dumps(inventory, indent=1))
    return folder


def _download(package: Package, source: str) -> bytes:
    url = source + package.archive_path
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            # One byte more than expected reveals a longer file.
            content: bytes = answer.read(package.archive_bytes + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise DeviceError(
            f"cannot be downloaded: {why}",
            where=url,
            remedy="check the network, or set npm_config_registry to a reachable registry",
        ) from error
    return check(content, package, url)


def check(content: bytes, package: Package, where: str) -> bytes:
    """Return an archive after checking its digest.

    Raises:
        DeviceError: it is not the pinned archive.
    """
    algorithm, _, expected = package.integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    if found != expected:
        raise DeviceError(
            f"is not {package.name} {package.version} as published: its {algorithm} differs",
            where=where,
            remedy="try again, or use another registry",
        )
    return content


def _unpack(content: bytes, package: Package, staging: Path) -> None:
    """Write the files that the page uses; npm archives have them below `package/`."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in package.files:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, f"{name} is no file of the pinned {package.name}"
            target = staging / package.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())


def _make_relative(staging: Path) -> None:
    """Make LiteRT's import of its helper relative: workers have no import maps."""
    path = staging / "@litertjs/core/dist/index.js"
    text, bare = path.read_text(), '"@litertjs/wasm-utils"'
    assert text.count(f"from {bare}") == 1, "the pinned @litertjs/core imports its helper once"
    path.write_text(text.replace(bare, '"../../wasm-utils/dist/index.js"'))
