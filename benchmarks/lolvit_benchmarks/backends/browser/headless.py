"""Whether to start a browser here, or to wait for one."""

from __future__ import annotations

import os
import sys

from lolvit_benchmarks.backends.registry import DeviceOptions


def wants_headless(options: DeviceOptions) -> bool:
    """Whether to start a Chromium without a window: as the user says, else where nobody could see
    a page or read its address, and no other machine is to open it."""
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
