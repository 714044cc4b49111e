"""Who opens the page: a headless Chromium that is started here, or a user by address or QR code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import segno

from lolvit.errors import DeviceError
from lolvit_benchmarks.backends.registry import DeviceOptions

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
INSTALL_HINT = "on Debian, run: apt install chromium; or open the page in another browser"
_EXIT_TIMEOUT_S = 5.0
_HALF_BLOCKS = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}


def find() -> Path | None:
    """Return the first Chromium found; the environment variable CHROMIUM takes precedence."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else PROGRAMS:
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


_LOOPBACK = ("127.0.0.1", "localhost")


def has_gpu() -> bool:
    """Whether this machine has a GPU that Chromium may use; yes where that is unknown."""
    return sys.platform != "linux" or any(Path("/dev/dri").glob("renderD*"))


def command(program: Path, profile: Path, url: str) -> list[str]:
    """Return the command that opens a page headless, in its own profile. Chromium finds no other
    host than the page's and this machine: it asks Google for updates of its components and for its
    clock, at every start, whatever other options say."""
    found = dict.fromkeys((*_LOOPBACK, *filter(None, [urlsplit(url).hostname])))
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in found)])
    flags = ["--headless=new", f"--user-data-dir={profile}", "--no-first-run", "--mute-audio",
             "--no-default-browser-check", "--disable-extensions", "--disable-sync",
             "--disable-background-networking", "--disable-component-update",
             f"--host-resolver-rules={rules}", "--no-proxy-server",
             "--enable-unsafe-webgpu"]  # fmt: skip
    if not has_gpu():
        flags += ["--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # its sandbox doesn't run as root
    return [str(program), *flags, url]


def _environment(folder: Path, url: str) -> dict[str, str]:
    """Return an environment in which Chromium keeps everything in a folder: beside its profile it
    writes caches, settings and a data base of certificates into HOME, which https alone needs."""
    own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    if not url.startswith("https:"):
        own["HOME"] = str(folder)
    return os.environ | own


@contextmanager
def opened(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Open a page in a headless Chromium while the block runs.

    Raises:
        DeviceError: none is installed.
    """
    program = require()
    # Chromium may write into its profile for a moment after its exit.
    with tempfile.TemporaryDirectory(
        prefix="lolvit-browser-", ignore_cleanup_errors=True
    ) as folder:
        process = subprocess.Popen(
            command(program, Path(folder), url),
            env=_environment(Path(folder), url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # its own group: Ctrl-C is handled here
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
            process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
    process.poll()


def wants_headless(options: DeviceOptions) -> bool:
    """Whether to start a headless Chromium: as the options say; by default where there is no
    terminal or display, and the page is not for another machine."""
    if options.headless is not None:
        return options.headless
    if options.lan or options.open_page:
        return False
    return not (sys.stderr.isatty() and has_display())


def has_display() -> bool:
    """Whether windows can be shown here."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def invite(url: str, say: Callable[[str], None], *, code: bool) -> None:
    """Print the address of the page; with `code`, on a terminal, also as a QR code."""
    say(f"open this page (the address contains a secret token): {url}")
    if code and sys.stderr.isatty():
        say(qr_code(url))


def qr_code(url: str) -> str:
    """Return a QR code as lines of half blocks, two rows of modules in each. Light modules are
    drawn, for a dark terminal."""
    rows = [list(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join(
        "".join(_HALF_BLOCKS[not upper, not lower] for upper, lower in zip(*pair, strict=True))
        for pair in pairs
    )
