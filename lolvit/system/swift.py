"""Swift on Linux: Debian 13's `swiftlang` in a folder of its own, entered by chroot.

Debian 12 has no Swift. The folder is a minimal Debian 13 in the user's cache; the system is not
changed. Every program in it runs in a mount namespace of its own, so that `/proc`, `/dev` and the
project's folders are mounted for that program alone: nothing stays mounted, and removing the folder
can never reach what was.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lolvit.errors import DeviceError, UserError
from lolvit.files import staged_folder, write_atomic

Report = Callable[[str], None]

SUITE = "trixie"  # Debian 13
PACKAGES = ("swiftlang", "libc6-dev", "libstdc++-14-dev")
PUBLIC_MIRROR = "http://deb.debian.org/debian"
DOWNLOAD_MB, INSTALLED_GB = 650, 2.8
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = {"debootstrap": "debootstrap", "unshare": "util-linux", "chroot": "coreutils"}
_INVENTORY = "lolvit-swift.json"
_APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3"
_AGAIN = "check the network and run it again"


def install_folder() -> Path:
    """Return the folder of the installation in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "lolvit" / "swift" / SUITE


def require_machine() -> None:
    """Check that this machine can install and enter the folder.

    Raises:
        UserError: it is no Linux, a program is missing, or root rights are.
    """
    if platform.system() != "Linux":
        raise UserError(
            f"this is for Linux, not {platform.system()}",
            remedy="on a Mac, Swift comes with Xcode: run swift test in ios_demo/LOLViT",
        )
    for tool, package in _TOOLS.items():
        if shutil.which(tool, path=_search_path()) is None:
            raise UserError(f"{tool} is missing", remedy=f"run: apt-get install {package}")
    if not KEYRING.exists():
        raise UserError(
            "Debian's archive keys are missing",
            where=str(KEYRING),
            remedy="run: apt-get install debian-archive-keyring",
        )
    if os.geteuid() != 0:
        raise UserError("entering a folder by chroot needs root rights", remedy="run it by sudo")


def _search_path() -> str:
    """Return PATH with the folders of programs for root, which sudo and services may leave out."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find_installation() -> dict[str, Any] | None:
    """Return the inventory of the installation: its versions; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((install_folder() / _INVENTORY).read_bytes())
    except (OSError, ValueError):
        return None
    return found


def install(report: Report, mirror: str = PUBLIC_MIRROR) -> dict[str, Any]:
    """Make the folder, which is replaced atomically; return its inventory.

    Raises:
        UserError: this machine lacks a requirement, or the cache can't be written.
        DeviceError: a download failed.
    """
    require_machine()
    report(f"downloading about {DOWNLOAD_MB} MB, {INSTALLED_GB:g} GB on disk")
    with staged_folder(install_folder()) as root:
        report(f"  Debian {SUITE}, minimal, from {mirror}")
        _run(
            ["debootstrap", "--variant=minbase", f"--keyring={KEYRING}", SUITE, str(root), mirror],
            "debootstrap",
        )
        for name in ("apt/apt.conf.d", "resolv.conf"):
            _copy_settings(Path("/etc") / name, root / "etc" / name)
        report(f"  {', '.join(PACKAGES)}")
        install = f"{_APT} install --yes --no-install-recommends {' '.join(PACKAGES)}"
        _run(command(f"{_APT} update && {install} && apt-get clean", root=root), "apt-get")
        version = _run(command("swift --version", root=root), "swift").splitlines()[0]
        inventory = {"swift": version, "suite": SUITE, "packages": list(PACKAGES)}
        write_atomic(root / _INVENTORY, json.dumps(inventory, indent=1))
    return inventory


def _copy_settings(source: Path, target: Path) -> None:
    """Copy a setting of the system's network, such as apt's proxy, where it has one."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copyfile(source, target)


def command(
    script: str, *, root: Path | None = None, folders: Mapping[str, Path] | None = None
) -> list[str]:
    """Return the command line that runs a shell script inside the folder.

    Args:
        root: the folder; by default the installation.
        folders: folders of this system, by the paths that they have inside.
    """
    root = root or install_folder()
    mounts = [("proc", "-t proc proc"), ("dev", "--rbind /dev")]
    mounts += [
        (inside.strip("/"), f"--bind {shlex.quote(str(outside.resolve()))}")
        for inside, outside in (folders or {}).items()
    ]
    steps = [
        f"mkdir -p {target} && mount {what} {target}"
        for inside, what in mounts
        for target in [shlex.quote(str(root / inside))]
    ]
    steps.append(f"exec chroot {shlex.quote(str(root))} /bin/sh -c {shlex.quote(script)}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(steps)]


def environment() -> dict[str, str]:
    """Return the environment of programs inside: this process's network settings, nothing else."""
    kept = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **kept}


def _run(arguments: Sequence[str], what: str) -> str:
    """Run a program to its end, in a mount namespace of its own; return what it printed.

    Raises:
        DeviceError: it failed; the message has its last error line.
    """
    own = arguments if arguments[0] == "unshare" else ["unshare", "--mount", *arguments]
    done = subprocess.run(
        own, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).split("\n")
        marked = [line for line in lines if line.startswith("E:")]
        last = (marked or [line for line in lines if line.strip()] or ["it printed nothing"])[-1]
        raise DeviceError(f"failed: {last.strip()}", where=what, remedy=_AGAIN)
    return done.stdout
