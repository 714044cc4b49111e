"""A browser, on this machine or on any that opens the page: what of it is ready."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lolvit_benchmarks.backends.registry import DeviceStatus

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.registry import DeviceOptions


def list_devices() -> list[DeviceStatus]:
    """Return the browser: ready once its runtimes are installed."""
    tells = ("latency", "load", "logits", "name of the GPU")
    silent = ("placement", "memory", "energy", "heat", "other processes")
    if importlib.util.find_spec("platformdirs") is None:
        reason = "platformdirs is missing; run: pip install 'lolvit[bench]'"
        return [DeviceStatus("browser", "browser", False, reason, tells, silent)]
    from lolvit_benchmarks.backends.browser import chromium, packages

    if not packages.is_installed():
        reason = f"its runtimes are not installed; run: {packages.SETUP_COMMAND}"
        return [DeviceStatus("browser", "browser", False, reason, tells, silent)]
    found = chromium.find()
    here = f"{found.name} on this machine" if found else "no Chromium on this machine"
    reason = f"{here}; any browser that opens the page, by --lan on other machines too"
    return [DeviceStatus("browser", "browser", True, reason, tells, silent)]


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return the browser.

    Raises:
        UserError: its runtimes are not installed.
        DeviceError: a Chromium is to be started, and there is none.
    """
    from lolvit_benchmarks.backends.browser import chromium, packages
    from lolvit_benchmarks.backends.browser.headless import wants_headless
    from lolvit_benchmarks.backends.browser.page_session import Browser

    packages.installed()
    if wants_headless(options):
        chromium.require()
    return Browser(options)
