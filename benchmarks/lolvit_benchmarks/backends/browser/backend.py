"""Any browser that opens the page: its listing, and the device entry."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lolvit_benchmarks.backends.registry import DeviceStatus

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.registry import DeviceOptions


def list_devices() -> list[DeviceStatus]:
    """Return one entry: ready once the page's runtimes are installed."""
    reported = ("latency", "load", "logits", "name of the GPU")
    not_reported = ("placement", "memory", "energy", "heat", "other processes")
    if importlib.util.find_spec("segno") is None:
        reason = "segno is missing; run: pip install 'lolvit[bench]'"
        return [DeviceStatus("browser", "browser", False, reason, reported, not_reported)]
    from lolvit_benchmarks.backends.browser import chromium, install

    if not install.is_installed():
        reason = f"its runtimes are not installed; run: {install.SETUP_COMMAND}"
        return [DeviceStatus("browser", "browser", False, reason, reported, not_reported)]
    found = chromium.find()
    here = f"{found.name} on this machine" if found else "no Chromium on this machine"
    reason = f"{here}; any browser that opens the page, with --lan on other machines too"
    return [DeviceStatus("browser", "browser", True, reason, reported, not_reported)]


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return the browser.

    Raises:
        UserError: its runtimes are not installed.
        DeviceError: a headless Chromium is needed, and none is installed.
    """
    from lolvit_benchmarks.backends.browser import chromium, install
    from lolvit_benchmarks.backends.browser.chromium import wants_headless
    from lolvit_benchmarks.backends.browser.page_session import Browser

    install.installed()
    if wants_headless(options):
        chromium.require()
    return Browser(options)
