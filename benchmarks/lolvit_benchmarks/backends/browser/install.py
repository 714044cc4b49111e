"""Fetching the page's JavaScript runtimes from an npm registry, once."""

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
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit.files import sha256_of, staged_folder, write_atomic
from lolvit_benchmarks.backends.browser.packages import INVENTORY, PACKAGES, Package, place

Say = Callable[[str], None]

PUBLIC_REGISTRY = "https://registry.npmjs.org/"
_TIMEOUT_S = 60.0


def registry() -> str:
    """Return the npm registry to ask: `npm_config_registry` as npm reads it, else npm's own
    configuration where npm is installed, else the public one."""
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
    """Download, check and unpack every package; return their folder, which is replaced whole.

    Raises:
        DeviceError: the registry can't be reached, or gave another file than the pinned one.
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
            # One byte more than is right tells a longer file, however long it is.
            content: bytes = answer.read(package.archive_bytes + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise DeviceError(
            f"cannot be downloaded: {why}",
            where=url,
            remedy="check the network, or set npm_config_registry to a registry that you reach",
        ) from error
    return check(content, package, url)


def check(content: bytes, package: Package, where: str) -> bytes:
    """Return an archive that is the pinned one.

    Raises:
        DeviceError: it is another one.
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
    """Write the files that are used; an npm archive holds all of its files below `package/`."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in package.files:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, f"{name} is no file of the pinned {package.name}"
            target = staging / package.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())


def _make_relative(staging: Path) -> None:
    """Let LiteRT's module name its helper by a path: workers know no import maps."""
    path = staging / "@litertjs/core/dist/index.js"
    text, bare = path.read_text(), '"@litertjs/wasm-utils"'
    assert text.count(f"from {bare}") == 1, "the pinned @litertjs/core imports its helper once"
    path.write_text(text.replace(bare, '"../../wasm-utils/dist/index.js"'))
