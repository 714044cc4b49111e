"""Select the Vulkan driver of a GPU runtime on Linux: a GPU's, or SwiftShader from Chromium.

SwiftShader emulates a GPU on the CPU: which operations run, and with which numerical results, holds
for GPUs too; its latency does not.
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
_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # of the Vulkan loader's environment
REMEDY = "install a GPU's Vulkan driver, or a software driver: apt install chromium"


def software_driver() -> Path | None:
    """Return SwiftShader's ICD file of an installed Chromium or Chrome, or None."""
    found = (Path(folder) / _ICD for folder in _FOLDERS)
    return next((path for path in found if path.is_file()), None)


def has_gpu() -> bool:
    """Whether the kernel has a device node of a GPU."""
    return any(Path("/dev/dri").glob("renderD*")) or Path("/dev/nvidiactl").exists()


def ready() -> bool:
    """Whether `choose_driver` would find a driver."""
    return not _driver_needed() or has_gpu() or software_driver() is not None


def in_software() -> bool:
    """Whether `choose_driver` would select SwiftShader."""
    return _driver_needed() and not has_gpu() and software_driver() is not None


def choose_driver() -> None:
    """Set up the Vulkan loader of this process: the driver in the user's environment, a GPU's, or
    SwiftShader. On other systems than Linux nothing is needed.

    Raises:
        DeviceError: no driver is installed.
    """
    if not _driver_needed() or has_gpu():
        return
    driver = software_driver()
    if driver is None:
        raise DeviceError("no Vulkan driver is installed", remedy=REMEDY)
    os.environ[_VARIABLES[0]] = os.environ[_VARIABLES[1]] = str(driver)
    if ctypes.util.find_library("vulkan") is None:
        # The browser's own loader; later lookups of the library's name find this one.
        ctypes.CDLL(str(driver.with_name(_LOADER)), mode=ctypes.RTLD_GLOBAL)


def _driver_needed() -> bool:
    return platform.system() == "Linux" and not any(os.environ.get(name) for name in _VARIABLES)
