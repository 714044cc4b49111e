"""What the Core AI packages need of the system; nothing of them is imported here."""

from __future__ import annotations

import platform

from lolvit.errors import UserError

LEAST_GLIBC = (2, 34)


def require_system() -> None:
    """Check that Core AI's packages can be installed and loaded on this system.

    Raises:
        UserError: its glibc is older than they need, or it is another system than Linux and macOS.
    """
    system = platform.system()
    if system == "Darwin":
        return
    library, version = platform.libc_ver() if system == "Linux" else ("", "")
    if library != "glibc" or _numbers(version) < LEAST_GLIBC:
        least = ".".join(map(str, LEAST_GLIBC))
        found = f"{library or 'another libc'} {version}".rstrip() if system == "Linux" else system
        raise UserError(
            f"Core AI needs Linux with glibc {least}, or macOS; this is {found}",
            remedy="use Debian 12, Ubuntu 22.04 or a newer system, or leave out coreai",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
