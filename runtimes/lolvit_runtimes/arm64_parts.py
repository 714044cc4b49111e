"""The arm64 environment: its packages, wheels and cores as data, and where it is installed.

Programs for 64-bit Arm run under qemu's user mode emulation: Debian's Python and C library for
arm64, and the runtimes' own aarch64 wheels, with the kernels that phones run. It verifies numerical
results; it measures no speed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.cache import cache_folder
from lolvit.errors import UserError

SETUP_COMMAND = "lolvit setup arm64"
INVENTORY = "installed.json"  # written last: marks a complete installation
ROOT, SITE, CORES_FOLDER = "root", "site-packages", "cores"
PYTHON = "usr/bin/python3.11"
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")


@dataclass(frozen=True)
class Core:
    """One emulated core: qemu's `-cpu`, the instructions that it must support, and its flags and
    part number in /proc/cpuinfo."""

    id: str
    name: str
    cpu: str
    instructions: tuple[str, ...]
    flags: str
    part: str


_A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop"
CORES: dict[str, Core] = {
    core.id: core
    for core in (
        Core("a76", "Cortex-A76", "cortex-a76", ("asimdhp", "asimddp"), f"{_A76} asimddp", "0xd0b"),
        # Without SVE: runtimes would use its kernels instead of those for int8 matrices.
        Core(
            "i8mm", "core with int8 matrix instructions", "max,sve=off,sme=off",
            ("asimdhp", "asimddp", "i8mm"),
            f"{_A76} asimddp jscvt fcma asimdfhm dit uscat ilrcpc flagm dcpodp frint i8mm bf16",
            "0xd47",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel of PyPI, for CPython 3.11 on aarch64."""

    name: str
    version: str
    sha256: str
    bytes: int


WHEELS = (
    Wheel(
        "numpy", "2.4.6", "0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47",
        15_966_692,
    ),
    Wheel(
        "ml-dtypes", "0.6.0", "7728c0420ec1c338564fc8b01015ff2d58567e70f17fedce5a0a7c0308c0d5b9",
        356_864,
    ),
    Wheel(
        "onnxruntime", "1.31.1", "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        21_413_526,
    ),
    Wheel(
        "ai-edge-litert", "2.3.0",
        "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae", 14_379_387,
    ),
)  # fmt: skip
# Of Debian 12, at the newest versions: apt checks the distribution's signature.
DEBIAN_SUITE = "bookworm"
DEBIAN_PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8",
    "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
)  # fmt: skip
DEBIAN_BYTES = 21_000_000  # packages and package lists, approximately


def install_folder() -> Path:
    """Return the installation's folder in the user's cache, named by a hash of all pins."""
    wheels = [wheel.sha256 for wheel in WHEELS]
    cores = [(core.id, core.flags, core.part) for core in CORES.values()]
    pins = json.dumps([DEBIAN_SUITE, DEBIAN_PACKAGES, wheels, cores])
    return _cache() / hashlib.sha256(pins.encode()).hexdigest()[:16]


def downloads() -> Path:
    """Return the folder of downloads, which an interrupted installation uses again."""
    return _cache() / "downloads"


def _cache() -> Path:
    return cache_folder() / "arm64"


def emulator() -> str:
    """Return the path of qemu's user mode emulator for 64-bit Arm.

    Raises:
        UserError: it is not on the PATH.
    """
    found = next(filter(None, map(shutil.which, _EMULATORS)), None)
    if found is None:
        raise UserError(
            f"{_EMULATORS[0]} is not on the PATH; qemu's user mode emulation runs only on Linux",
            remedy="run: apt-get install qemu-user-static",
        )
    return found


def read_inventory() -> Mapping[str, Any]:
    """Return the inventory that `lolvit setup arm64` wrote.

    Raises:
        UserError: it is not installed or incomplete, or qemu is missing.
    """
    emulator()
    try:
        inventory: dict[str, Any] = json.loads((install_folder() / INVENTORY).read_bytes())
    except (OSError, ValueError) as error:
        names = ", ".join(f"{wheel.name} {wheel.version}" for wheel in WHEELS)
        raise UserError(
            f"the arm64 runtimes ({names}) are not installed", remedy=f"run: {SETUP_COMMAND}"
        ) from error
    return inventory
