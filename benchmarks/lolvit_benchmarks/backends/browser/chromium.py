"""A Chromium without a window, for measuring with one command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lolvit.errors import DeviceError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
INSTALL_HINT = "on Debian, run: apt install chromium; or open the page in a browser of yours"
_END_S = 5.0


def find() -> Path | None:
    """Return the first Chromium there is; the environment's CHROMIUM goes before all."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    return next((Path(path) for path in _MAC if not named and Path(path).exists()), None)


def require() -> Path:
    """Return the Chromium to start.

    Raises:
        DeviceError: none is installed.
    """
    program = find()
    if program is None:
        raise DeviceError("no Chromium found", remedy=INSTALL_HINT)
    return program


def has_gpu() -> bool:
    """Whether this machine has a GPU that Chromium may use; where it can't be told, yes."""
    return sys.platform != "linux" or any(Path("/dev/dri").glob("renderD*"))


def command(program: Path, profile: Path, url: str) -> list[str]:
    """Return the command that opens a page in a profile of its own."""
    flags = ["--headless=new", f"--user-data-dir={profile}", "--no-first-run", "--mute-audio",
             "--no-default-browser-check", "--disable-extensions", "--disable-sync",
             "--disable-background-networking", "--disable-component-update",
             "--enable-unsafe-webgpu"]  # fmt: skip
    if not has_gpu():
        flags += ["--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # its sandbox refuses to start for root
    return [str(program), *flags, url]


@contextmanager
def opened(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Open a page in a Chromium of its own while the block runs.

    Raises:
        DeviceError: none is installed.
    """
    program = require()
    # Chromium may still write into its profile for a moment after its end.
    with tempfile.TemporaryDirectory(
        prefix="lolvit-browser-", ignore_cleanup_errors=True
    ) as folder:
        process = subprocess.Popen(
            command(program, Path(folder), url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own: Ctrl-C is ours to hand on
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End Chromium and all processes of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            continue
    process.poll()
