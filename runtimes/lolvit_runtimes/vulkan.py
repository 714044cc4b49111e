"""Which Vulkan driver a GPU runtime on Linux uses: a GPU's, or SwiftShader, which Chromium brings.

SwiftShader computes on the processor: what runs on it, and with which numbers, is true of GPUs too;
how fast says nothing about one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
from pathlib import Path

from lolvit.errors import DeviceError

_FOLDERS = (
    "/usr/lib/chromium", "/usr/lib64/chromium-browser", "/usr/lib/chromium-browser",
    "/opt/google/chrome", "/opt/chromium.org/chromium",
)  # fmt: skip
_ICD, _LOADER = "vk_swiftshader_icd.json", "libvulkan.so.1"
_NAMED = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # how the Vulkan loader is told of drivers
REMEDY = "install a GPU's Vulkan driver, or for one in software: apt install chromium"


def software_driver() -> Path | None:
    """Return SwiftShader's description for the Vulkan loader, where a browser has brought it."""
    found = (Path(folder) / _ICD for folder in _FOLDERS)
    return next((path for path in found if path.is_file()), None)


def has_gpu() -> bool:
    """Whether the kernel shows a GPU to compute on."""
    return any(Path("/dev/dri").glob("renderD*")) or Path("/dev/nvidiactl").exists()


def ready() -> bool:
    """Whether `choose_driver` would find one."""
    return not _needed() or has_gpu() or software_driver() is not None


def in_software() -> bool:
    """Whether `choose_driver` would take SwiftShader."""
    return _needed() and not has_gpu() and software_driver() is not None


def choose_driver() -> None:
    """Have the Vulkan loader of this process find a driver: what the user named, a GPU's, or
    SwiftShader. Elsewhere than on Linux the system brings its own.

    Raises:
        DeviceError: there is none.
    """
    if not _needed() or has_gpu():
        return
    driver = software_driver()
    if driver is None:
        raise DeviceError("there is no Vulkan driver here", remedy=REMEDY)
    os.environ[_NAMED[0]] = os.environ[_NAMED[1]] = str(driver)
    if ctypes.util.find_library("vulkan") is None:
        # The browser's own loader; whoever asks for the library's name later gets this one.
        ctypes.CDLL(str(driver.with_name(_LOADER)), mode=ctypes.RTLD_GLOBAL)


def _needed() -> bool:
    return platform.system() == "Linux" and not any(os.environ.get(name) for name in _NAMED)
