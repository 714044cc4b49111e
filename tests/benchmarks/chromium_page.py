"""Pages in a headless Chromium, driven by DevTools through a pipe: no driver is needed."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from lolvit_benchmarks.backends.browser import chromium, install

needs_chromium = pytest.mark.skipif(
    chromium.find() is None, reason=f"no Chromium found; {chromium.INSTALL_HINT}"
)
needs_runtimes = pytest.mark.skipif(
    not install.is_installed(),
    reason=f"the browser's runtimes are not installed; run: {install.SETUP_COMMAND}",
)


class Browser:
    """A running Chromium, by its DevTools pipe."""

    def __init__(self, write: IO[bytes], read: IO[bytes]) -> None:
        self._write, self._read, self._number = write, read, 0

    @contextmanager
    def page(self) -> Iterator[Page]:
        """Open a tab while the block runs."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        yield Page(self, target)
        self.send("Target.closeTarget", targetId=target)

    def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command, of a session or of the browser, and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        parts = bytearray()
        while (byte := self._read.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            parts += byte
        answer: dict[str, Any] = json.loads(parts)
        return answer


class Page:
    """One tab. `Runtime.evaluate` runs JavaScript in it, awaits promises and returns JSON."""

    def __init__(self, browser: Browser, target: str) -> None:
        self._browser = browser
        attached = browser.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str = attached["sessionId"]
        self.send("Page.bringToFront")  # which keyboard events need

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the tab and return its result."""
        return self._browser.send(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Open an address, and wait until the page has started."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && 'lolvit' in window")

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression, or of its promise."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # A navigation discards pending evaluations: poll.
            if self.evaluate(f"Boolean({condition})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"not in {seconds:g} s: {condition}")

    def press(self, key: str) -> None:
        """Press and release a key."""
        for type in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=type, key=key, code=key)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Give the page a size in pixels, and a colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self) -> bytes:
        """Return a screenshot as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])


@contextmanager
def opened_page(*flags: str) -> Iterator[Page]:
    """Open a page in a new Chromium."""
    with opened_browser(*flags) as browser, browser.page() as page:
        yield page


@contextmanager
def opened_browser(*flags: str) -> Iterator[Browser]:
    """Start a Chromium while the block runs."""
    program = chromium.find()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        own, theirs = os.pipe(), os.pipe()
        given = chromium.command(program, Path(folder), "about:blank")
        # Tests open pages of other addresses of this machine later.
        command = [each for each in given if not each.startswith("--host-resolver-rules")]
        command[1:1] = ["--remote-debugging-pipe", *flags]
        process = subprocess.Popen(
            ["bash", "-c", f"exec {shlex.join(command)} 3<&{own[0]} 4>&{theirs[1]}"],
            pass_fds=(own[0], theirs[1]),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(own[0])
        os.close(theirs[1])
        try:
            with os.fdopen(own[1], "wb") as write, os.fdopen(theirs[0], "rb") as read:
                yield Browser(write, read)
        finally:
            chromium.end(process)
