"""Swift on Linux: Debian 13's `swiftlang` in a folder of its own, entered by chroot.

Debian 12 has no Swift. The folder has Debian 13's packages, unpacked, in the user's cache; the
system is not changed, and no root rights are needed. Every program in it runs in a mount namespace
of its own, so that `/proc`, `/dev` and the project's folders are mounted for that program alone:
nothing stays mounted, and removing the folder can never reach what was. Users other than root get
a user namespace too, in which they may mount.
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
from lolvit.system.debian import KEYRING, PUBLIC_MIRROR, write_apt_settings

Report = Callable[[str], None]

SUITE = "trixie"  # Debian 13
# The first is unpacked first: it has the links from /bin to /usr/bin and their like.
PACKAGES = ("base-files", "dash", "coreutils", "swiftlang", "libc6-dev", "libstdc++-14-dev")
DOWNLOAD_MB, INSTALLED_GB = 550, 2.5
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # that Debian has swiftlang for
_TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg", "unshare": "util-linux", "chroot": "coreutils"}
_INVENTORY = "lolvit-swift.json"
_AGAIN = "check the network and run it again: finished downloads are kept"


def install_folder() -> Path:
    """Return the folder of the installation in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "lolvit" / "swift" / SUITE


def require_machine() -> None:
    """Check that this machine can install and enter the folder.

    Raises:
        UserError: it is no Linux, a program is missing, or it grants no mount namespaces.
    """
    if platform.system() != "Linux":
        raise UserError(
            f"this is for Linux, not {platform.system()}",
            remedy="on a Mac, Swift comes with Xcode: run swift test in ios_demo/LOLViT",
        )
    if platform.machine() not in _ARCHITECTURES:
        raise UserError(f"Debian has no Swift for {platform.machine()}")
    for tool, package in _TOOLS.items():
        if shutil.which(tool, path=_search_path()) is None:
            raise UserError(f"{tool} is missing", remedy=f"run: apt-get install {package}")
    if not KEYRING.exists():
        raise UserError(
            "Debian's archive keys are missing",
            where=str(KEYRING),
            remedy="run: apt-get install debian-archive-keyring",
        )
    if not _can_mount():
        raise UserError(
            "this machine grants no mount namespaces, in which Swift's folder is entered",
            remedy="run it as root, in a container with --privileged",
        )


def _namespace() -> list[str]:
    """Return the start of a command line whose program may mount folders that it alone sees."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--mount", "--propagation", "private"]


def _can_mount() -> bool:
    mount = "d=$(mktemp -d) && mount --rbind /dev $d && umount -l $d && rmdir $d"
    tried = subprocess.run(
        [*_namespace(), "sh", "-c", mount], env=environment(), capture_output=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return tried.returncode == 0


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
    """Download and unpack the packages into the folder, which is replaced atomically; return its
    inventory.

    Raises:
        UserError: this machine lacks a requirement, or the cache can't be written.
        DeviceError: a download failed.
    """
    require_machine()
    report(f"downloading about {DOWNLOAD_MB} MB, {INSTALLED_GB:g} GB on disk")
    downloads = install_folder().parent / "downloads"
    with staged_folder(install_folder()) as root:
        report(f"  {', '.join(PACKAGES)} of Debian {SUITE}, and what they need, from {mirror}")
        for archive in _download(downloads, mirror):
            _run(["dpkg-deb", "--extract", str(archive), str(root)], "dpkg-deb")
        # What the package's own installation script makes.
        (root / "usr" / "bin" / "swift").symlink_to("../libexec/swift/bin/swift")
        version = _run(command("swift --version", root=root), "swift").splitlines()[0]
        inventory = {"swift": version, "suite": SUITE, "packages": list(PACKAGES)}
        write_atomic(root / _INVENTORY, json.dumps(inventory, indent=1))
    shutil.rmtree(downloads, ignore_errors=True)
    return inventory


def _download(folder: Path, mirror: str) -> list[Path]:
    """Download the packages with all that they depend on; return their archives, those of
    `PACKAGES` first."""
    architecture = _ARCHITECTURES[platform.machine()]
    apt = ["apt-get", "-c", str(write_apt_settings(folder, mirror, SUITE, architecture)), "-q"]
    _run([*apt, "update"], "apt-get")
    install = ["install", "--yes", "--no-install-recommends", "--download-only", *PACKAGES]
    _run([*apt, *install], "apt-get")
    archives = {path.name.split("_")[0]: path for path in (folder / "archives").glob("*.deb")}
    own = [archives.pop(name) for name in PACKAGES]
    return [*own, *archives.values()]


def command(
    script: str, *, root: Path | None = None, folders: Mapping[str, Path] | None = None
) -> list[str]:
    """Return the command line that runs a shell script inside the folder.

    Args:
        root: the folder; by default the installation.
        folders: folders of this system, by the paths that they have inside.
    """
    root = root or install_folder()
    mounts = [("proc", "--rbind /proc"), ("dev", "--rbind /dev")]
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
    return [*_namespace(), "sh", "-ec", "\n".join(steps)]


def environment() -> dict[str, str]:
    """Return the environment of programs inside: this process's network settings, nothing else."""
    kept = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **kept}


def _run(arguments: Sequence[str], what: str) -> str:
    """Run a program to its end; return what it printed.

    Raises:
        DeviceError: it failed; the message has its last error line.
    """
    done = subprocess.run(
        arguments, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).split("\n")
        marked = [line for line in lines if line.startswith("E:")]
        last = (marked or [line for line in lines if line.strip()] or ["it printed nothing"])[-1]
        raise DeviceError(f"failed: {last.strip()}", where=what, remedy=_AGAIN)
    return done.stdout
