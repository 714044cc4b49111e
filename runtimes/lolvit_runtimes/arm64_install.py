"""Install the arm64 environment: Debian packages by apt, the runtimes' wheels by pip.

Both are downloaded for aarch64 into separate folders: the system is not changed, and no root rights
are needed.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit.files import sha256_of, size_of, staged_folder, write_atomic
from lolvit.system.debian import KEYRING, PUBLIC_MIRROR, write_apt_settings
from lolvit_runtimes.arm64_emulator import Emulator, command
from lolvit_runtimes.arm64_guest import RUNTIMES
from lolvit_runtimes.arm64_parts import (
    CORES,
    CORES_FOLDER,
    DEBIAN_BYTES,
    DEBIAN_PACKAGES,
    DEBIAN_SUITE,
    INVENTORY,
    ROOT,
    SITE,
    WHEELS,
    Core,
    Wheel,
    downloads,
    emulator,
    install_folder,
    read_inventory,
)

Report = Callable[[str], None]

_SECONDS = 1800.0
_AGAIN = "check the network and run it again: finished downloads are kept"
# A core's /proc/cpuinfo, as Linux prints it on arm64.
_CPUINFO = """\
processor\t: 0
Features\t: {flags}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 0

"""


def require_machine() -> None:
    """Check that this machine can install and run the arm64 environment.

    Raises:
        UserError: something is missing; the remedy is the command that installs it.
    """
    if platform.system() != "Linux":
        raise UserError(
            f"Arm emulation needs Linux, this is {platform.system()}",
            remedy="run it in a container with Debian, or on a phone",
        )
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise UserError(
                f"{tool} is not on the PATH; the installation uses Debian packages",
                remedy="use Debian or Ubuntu, or a container with one of them",
            )
    emulator()
    if not KEYRING.exists():
        raise UserError(
            "Debian's archive keys are missing",
            where=str(KEYRING),
            remedy="run: apt-get install debian-archive-keyring",
        )
    if importlib.util.find_spec("pip") is None:
        raise UserError("pip is missing", remedy="run: python -m ensurepip")


def find_working_installation(report: Report) -> Mapping[str, Any] | None:
    """Return the inventory of the installation after starting each runtime on each core; None if
    nothing is installed or a runtime does not start.

    Raises:
        UserError: this machine lacks a requirement.
    """
    require_machine()
    try:
        found = read_inventory()
        for core in CORES.values():
            _start_runtimes(report, core, install_folder())
    except LolvitError as error:
        report(error.line())
        return None
    return found


def install(report: Report, mirror: str = PUBLIC_MIRROR) -> dict[str, Any]:
    """Download, check and unpack everything into `arm64_parts.install_folder()`, which is replaced
    atomically, and start each runtime; return the inventory.

    Raises:
        UserError: this machine lacks a requirement, or the cache can't be written.
        DeviceError: a download failed, a wheel is not the pinned one, or a runtime does not start.
    """
    require_machine()
    if not mirror.startswith(("http://", "https://")) or mirror.split() != [mirror]:
        raise UserError(
            "is not a URL of a Debian mirror",
            where=mirror,
            remedy=f"give one such as {PUBLIC_MIRROR}",
        )
    total = DEBIAN_BYTES + sum(wheel.bytes for wheel in WHEELS)
    report(f"downloading about {total / 1e6:.0f} MB")
    with staged_folder(install_folder()) as staging:
        packages = _debian(report, mirror, staging / ROOT)
        _wheels(report, staging / SITE)
        for core in CORES.values():
            _write_core(staging / CORES_FOLDER / core.id, core)
        cores = {core.id: _start_runtimes(report, core, staging) for core in CORES.values()}
        wheels = {wheel.name: wheel.version for wheel in WHEELS}
        inventory = {
            "packages": packages, "wheels": wheels, "cores": cores, "bytes": size_of(staging),
        }  # fmt: skip
        write_atomic(staging / INVENTORY, json.dumps(inventory, indent=1))
    shutil.rmtree(downloads(), ignore_errors=True)
    return inventory


def _debian(report: Report, mirror: str, root: Path) -> dict[str, str]:
    """Download and unpack the Debian packages for arm64; return their versions."""
    report(f"  {len(DEBIAN_PACKAGES)} packages of Debian {DEBIAN_SUITE} for arm64, from {mirror}")
    folder = _create_folder(downloads() / "packages")
    settings = write_apt_settings(downloads() / "apt", mirror, DEBIAN_SUITE, "arm64")
    _run(["apt-get", "-c", str(settings), "-qq", "update"], folder)
    _run(["apt-get", "-c", str(settings), "-qq", "download", *DEBIAN_PACKAGES], folder)
    versions: dict[str, str] = {}
    for name in DEBIAN_PACKAGES:
        # An interrupted installation may have left an older file; the newest was just downloaded.
        archive = max(folder.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
        _run(["dpkg", "-x", str(archive), str(_create_folder(root))], folder)
        versions[name] = archive.stem.split("_")[1].replace("%3a", ":")
    return versions


def _wheels(report: Report, site: Path) -> None:
    folder = _create_folder(downloads() / "wheels")
    requirements = folder / "requirements.txt"
    lines = [f"{each.name}=={each.version} --hash=sha256:{each.sha256}" for each in WHEELS]
    write_atomic(requirements, "\n".join(lines) + "\n")
    for wheel in WHEELS:
        report(f"  {wheel.name} {wheel.version} for aarch64, {wheel.bytes / 1e6:.1f} MB")
    platforms = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--require-hashes", "--only-binary=:all:", "--python-version", "3.11"),
            *(part for name in platforms for part in ("--platform", name)),
            *("--dest", str(folder), "--requirement", str(requirements)),
        ],
        folder,
    )
    found = {sha256_of(path): path for path in folder.glob("*.whl")}
    for wheel in WHEELS:
        _unpack(found, wheel, _create_folder(site))


def _unpack(found: dict[str, Path], wheel: Wheel, site: Path) -> None:
    if wheel.sha256 not in found:
        raise DeviceError(
            f"pip downloaded no {wheel.name} {wheel.version} with the pinned sha256",
            remedy=_AGAIN,
        )
    with zipfile.ZipFile(found[wheel.sha256]) as archive:
        archive.extractall(site)


def _write_core(folder: Path, core: Core) -> None:
    """Write the folder that qemu maps over the root: the packages, and the files in /proc and /sys
    about the processor, without which runtimes crash at first use."""
    files = {
        "proc/cpuinfo": _CPUINFO.format(flags=core.flags, part=core.part),
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/present": "0\n",
    }
    for name, text in files.items():
        write_atomic(folder / name, text)
    for name in ("usr", "lib"):
        (folder / name).symlink_to(Path("../..") / ROOT / name)


def _start_runtimes(report: Report, core: Core, folder: Path) -> dict[str, Any]:
    """Start each runtime once on a core, which also compiles its modules to bytecode; return the
    core's inventory."""
    for runtime in RUNTIMES:
        arguments = command(emulator(), core, folder, runtime, keep=False)
        session = Emulator(arguments, core)
        session.close()
        instructions = ", ".join(session.instructions)
        report(f"  {core.name}: {runtime} {session.version} starts, with {instructions}")
    return {"name": core.name, "cpu": core.cpu, "instructions": session.instructions}


def _create_folder(folder: Path) -> Path:
    """Create a folder, and return it.

    Raises:
        UserError: it can't be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write: {error.strerror}",
            where=str(folder),
            remedy="free space or set XDG_CACHE_HOME to another folder",
        ) from error
    return folder


def _run(arguments: Sequence[str], folder: Path) -> None:
    """Run a program to its end.

    Raises:
        DeviceError: it failed; the message has its last error line.
    """
    try:
        done = subprocess.run(
            arguments, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"timed out after {_SECONDS:g} s", where=arguments[0], remedy=_AGAIN
        ) from error
    if done.returncode:
        message = next(_errors(done.stderr), f"exit code {done.returncode}")
        name = "pip" if arguments[0] == sys.executable else arguments[0]
        raise DeviceError(f"failed: {message}", where=name, remedy=_AGAIN)


def _errors(text: str) -> Iterator[str]:
    """Yield the lines that a program marks as errors, then all lines, last first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    yield from (line for line in lines if line.startswith(("E:", "ERROR:", "dpkg")))
    yield from reversed(lines)
