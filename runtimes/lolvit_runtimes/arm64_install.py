"""Fetching the parts of an emulated phone processor, once: Debian's by apt, the runtimes' by pip.

Both run for another processor, in folders of their own: nothing of the system is changed, and no
rights are needed.
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

Say = Callable[[str], None]

PUBLIC_MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SECONDS = 1800.0
_AGAIN = "check the network and run it again: what has been downloaded is kept"
# A processor's description, in the form of Linux's /proc/cpuinfo on arm64.
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
    """Check that this machine can install and run the parts.

    Raises:
        UserError: something is missing; the line names the command that adds it.
    """
    if platform.system() != "Linux":
        raise UserError(
            f"emulated phone processors need Linux, this is {platform.system()}",
            remedy="run it in a container with Debian, or on a phone",
        )
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise UserError(
                f"{tool} is not on the PATH: the parts are packages of Debian",
                remedy="use Debian or Ubuntu, or a container with one of them",
            )
    emulator()
    if not KEYRING.exists():
        raise UserError(
            "Debian's keys are missing",
            where=str(KEYRING),
            remedy="run: apt-get install debian-archive-keyring",
        )
    if importlib.util.find_spec("pip") is None:
        raise UserError("pip is missing", remedy="run: python -m ensurepip")


def find_working_installation(say: Say) -> Mapping[str, Any] | None:
    """Return what is installed, once each runtime has started on each core; None where nothing is
    installed, or a runtime does not start.

    Raises:
        UserError: this machine lacks something.
    """
    require_machine()
    try:
        found = read_inventory()
        for core in CORES.values():
            _try(say, core, install_folder())
    except LolvitError as error:
        say(error.line())
        return None
    return found


def install(say: Say, mirror: str = PUBLIC_MIRROR) -> dict[str, Any]:
    """Download, check, unpack and try every part; return what was installed, by
    `arm64_parts.install_folder()`, which is replaced whole.

    Raises:
        UserError: this machine lacks something, or the cache can't be written.
        DeviceError: a download failed, a file is not the pinned one, or a part does not run.
    """
    require_machine()
    if not mirror.startswith(("http://", "https://")) or mirror.split() != [mirror]:
        raise UserError("not the address of a Debian mirror", where=mirror)
    total = DEBIAN_BYTES + sum(wheel.bytes for wheel in WHEELS)
    say(f"downloading about {total / 1e6:.0f} MB")
    with staged_folder(install_folder()) as staging:
        packages = _debian(say, mirror, staging / ROOT)
        _wheels(say, staging / SITE)
        for core in CORES.values():
            _write_core(staging / CORES_FOLDER / core.id, core)
        cores = {core.id: _try(say, core, staging) for core in CORES.values()}
        wheels = {wheel.name: wheel.version for wheel in WHEELS}
        inventory = {
            "packages": packages, "wheels": wheels, "cores": cores, "bytes": size_of(staging),
        }  # fmt: skip
        write_atomic(staging / INVENTORY, json.dumps(inventory, indent=1))
    shutil.rmtree(downloads(), ignore_errors=True)
    return inventory


def _debian(say: Say, mirror: str, root: Path) -> dict[str, str]:
    """Unpack Debian's packages for arm64; return their versions."""
    say(f"  {len(DEBIAN_PACKAGES)} packages of Debian {DEBIAN_SUITE} for arm64, from {mirror}")
    settings, folder = _apt_settings(mirror), _made(downloads() / "packages")
    _run(["apt-get", "-c", str(settings), "-qq", "update"], folder)
    _run(["apt-get", "-c", str(settings), "-qq", "download", *DEBIAN_PACKAGES], folder)
    versions: dict[str, str] = {}
    for name in DEBIAN_PACKAGES:
        # An interrupted set-up may have left an older one: the newest in apt's lists was just got.
        archive = max(folder.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
        _run(["dpkg", "-x", str(archive), str(_made(root))], folder)
        versions[name] = archive.stem.split("_")[1].replace("%3a", ":")
    return versions


def _apt_settings(mirror: str) -> Path:
    """Write what makes apt look at one source, for arm64, without the system's state."""
    folder = downloads() / "apt"
    for part in ("lists/partial", "archives/partial"):
        _made(folder / part)
    source = f"deb [arch=arm64 signed-by={KEYRING}] {mirror} {DEBIAN_SUITE} main\n"
    write_atomic(folder / "sources.list", source)
    values = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Update::Error-Mode": "any",  # or what can't be reached is a mere warning
        "Acquire::Retries": "3",
        "Dir::Etc::SourceList": str(folder / "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(folder),
    }
    # What a system has its apt do after an update is about the system's own packages.
    lines = ["#clear APT::Update::Post-Invoke-Success;", "#clear APT::Update::Post-Invoke;"]
    lines += [f'{key} "{value}";' for key, value in values.items()]
    write_atomic(folder / "apt.conf", "\n".join(lines) + "\n")
    return folder / "apt.conf"


def _wheels(say: Say, site: Path) -> None:
    folder = _made(downloads() / "wheels")
    wanted = folder / "wanted.txt"
    lines = [f"{each.name}=={each.version} --hash=sha256:{each.sha256}" for each in WHEELS]
    write_atomic(wanted, "\n".join(lines) + "\n")
    for wheel in WHEELS:
        say(f"  {wheel.name} {wheel.version} for aarch64, {wheel.bytes / 1e6:.1f} MB")
    platforms = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--require-hashes", "--only-binary=:all:", "--python-version", "3.11"),
            *(part for name in platforms for part in ("--platform", name)),
            *("--dest", str(folder), "--requirement", str(wanted)),
        ],
        folder,
    )
    found = {sha256_of(path): path for path in folder.glob("*.whl")}
    for wheel in WHEELS:
        _unpack(found, wheel, _made(site))


def _unpack(found: dict[str, Path], wheel: Wheel, site: Path) -> None:
    if wheel.sha256 not in found:
        raise DeviceError(
            f"pip gave another file than the pinned {wheel.name} {wheel.version}", remedy=_AGAIN
        )
    with zipfile.ZipFile(found[wheel.sha256]) as archive:
        archive.extractall(site)


def _write_core(folder: Path, core: Core) -> None:
    """Lay the folder that qemu puts over the root: the packages, and the files of Linux that
    runtimes read about processors, without which they crash at first use."""
    files = {
        "proc/cpuinfo": _CPUINFO.format(flags=core.flags, part=core.part),
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/present": "0\n",
    }
    for name, text in files.items():
        write_atomic(folder / name, text)
    for name in ("usr", "lib"):
        (folder / name).symlink_to(Path("../..") / ROOT / name)


def _try(say: Say, core: Core, folder: Path) -> dict[str, Any]:
    """Start each runtime once on a core, which also compiles its modules to bytecode."""
    for runtime in RUNTIMES:
        arguments = command(emulator(), core, folder, runtime, keep=False)
        session = Emulator(arguments, core)
        session.close()
        instructions = ", ".join(session.instructions)
        say(f"  {core.name}: {runtime} {session.version} starts, with {instructions}")
    return {"name": core.name, "cpu": core.cpu, "instructions": session.instructions}


def _made(folder: Path) -> Path:
    """Return a folder that is there.

    Raises:
        UserError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", where=str(folder)) from error
    return folder


def _run(arguments: Sequence[str], folder: Path) -> None:
    """Run a program to its end.

    Raises:
        DeviceError: it failed; what it said last.
    """
    try:
        done = subprocess.run(
            arguments, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"no end in {_SECONDS:g} s", where=arguments[0], remedy=_AGAIN) from error
    if done.returncode:
        said = next(_errors(done.stderr), f"exit code {done.returncode}")
        name = "pip" if arguments[0] == sys.executable else arguments[0]
        raise DeviceError(f"failed: {said}", where=name, remedy=_AGAIN)


def _errors(text: str) -> Iterator[str]:
    """Give the lines that a program marks as its errors, then the others from the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    yield from (line for line in lines if line.startswith(("E:", "ERROR:", "dpkg")))
    yield from reversed(lines)
