"""Detect installed runtimes and tools, and this machine's CPU, without importing any runtime."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from lolvit.errors import UserError
from lolvit_runtimes.table import RUNTIMES, check_setup, check_system

DISTRIBUTION = "lolvit"
_MAC_ONLY = {"coreml", "coreml-cpu", "coreml-gpu", "coreml-ane"}
_CPUINFO = Path("/proc/cpuinfo")
# CPU flags that decide which kernels a runtime selects.
_VECTOR_FLAGS = (
    "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


@dataclass(frozen=True)
class Status:
    """Whether a runtime or tool can be used here, with the reason if not."""

    id: str
    kind: str
    ready: bool
    reason: str
    version: str | None = None


@dataclass(frozen=True)
class Extra:
    """One extra of the distribution: its packages with the versions that are installed."""

    name: str
    packages: dict[str, str | None]

    @property
    def ready(self) -> bool:
        """Whether all of its packages are installed."""
        return None not in self.packages.values()

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install '{DISTRIBUTION}[{self.name}]'"


def runtime_status() -> list[Status]:
    """Return, for each entry of RUNTIMES in its order, whether it can open an artifact here."""
    return [_runtime(name) for name in RUNTIMES]


def _runtime(name: str) -> Status:
    entry = RUNTIMES[name]
    names = entry.distributions or (entry.modules[0],)
    found = next(filter(None, map(installed, names)), None)
    try:
        check_system(name)
    except UserError as error:
        return Status(name, "runtime", False, error.line(), found)
    if missing := [module for module in entry.modules if not importlib.util.find_spec(module)]:
        remedy = f"pip install '{DISTRIBUTION}[{entry.extra}]'"
        return Status(name, "runtime", False, f"{missing[0]} is missing; run: {remedy}", found)
    if name in _MAC_ONLY and platform.system() != "Darwin":
        return Status(name, "runtime", False, "runs on a Mac only", found)
    try:
        check_setup(name)
    except UserError as error:
        return Status(name, "runtime", False, error.line(), found)
    return Status(name, "runtime", True, entry.note, found)


def tool_status() -> list[Status]:
    """Return whether programs that reach other devices are on the PATH."""
    path = shutil.which("adb")
    reason = path or "not on the PATH: install the Android SDK platform tools to reach phones"
    return [Status("adb", "tool", path is not None, reason)]


@functools.cache  # extras share packages, and reading one's metadata takes a millisecond
def installed(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def extras() -> list[Extra]:
    """Return the distribution's extras, as its own metadata lists them.

    Empty if the distribution is not installed, because it has no metadata then.
    """
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    wanted: dict[str, list[str]] = {}
    for line in lines:
        if marker := re.search(r"""extra\s*==\s*["']([\w-]+)["']""", line):
            wanted.setdefault(marker[1], []).append(line)
    return [Extra(name, _packages(name, wanted)) for name in wanted]


def _packages(extra: str, wanted: dict[str, list[str]]) -> dict[str, str | None]:
    """Return the installed versions of what an extra requires, including nested extras."""
    packages: dict[str, str | None] = {}
    for line in wanted.get(extra, []):
        name, included = re.match(r"([\w.-]+)(?:\[([^\]]*)\])?", line).groups()  # type: ignore[union-attr]
        if name != DISTRIBUTION:
            packages[name] = installed(name)
        for other in (included or "").split(",") if name == DISTRIBUTION else ():
            packages |= _packages(other.strip(), wanted)
    return packages


def with_dependencies(names: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of what extras need, and of all that these need in turn."""
    found: dict[str, str] = {}
    waiting = [name for extra in extras() if extra.name in names for name in extra.packages]
    while waiting:
        name = waiting.pop()
        if name in found or (number := installed(name)) is None:
            continue
        found[name] = number
        lines = [line for line in requires(name) or [] if not re.search(r"extra\s*==", line)]
        waiting += [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]
    return found


def uncompiled_modules() -> tuple[Path, str] | None:
    """Return the folder of installed packages and why each process compiles their modules again:
    seconds of processor time, as torch has thousands. None if that is not so.

    Installers that do not compile, as uv's, leave it to the first import, which may be unable to.
    """
    specs = (importlib.util.find_spec(name) for name in ("torch", "numpy"))
    spec = next(filter(None, specs), None)
    if spec is None or spec.origin is None or spec.cached is None or Path(spec.cached).exists():
        return None
    package = Path(spec.origin).parent
    if sys.dont_write_bytecode:
        return package.parent, "PYTHONDONTWRITEBYTECODE is set"
    if not os.access(package, os.W_OK) and sys.pycache_prefix is None:
        return package.parent, "the folder is read-only"
    return None


def unoptimized_python() -> Path | None:
    """Return where the interpreter is if it was compiled without CPython's optimizations (profiles
    of its own programs, and at linking), as pyenv does by default; None if not, or not known.

    Distributions below /usr optimize without recording it.
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    if not arguments or "--enable-optimizations" in arguments or sys.base_prefix == "/usr":
        return None
    return Path(sys.base_prefix)


def machine() -> dict[str, str | int | list[str]]:
    """Return the system, and the CPU with its cores and vector extensions, if reported."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable or 1,
        "vector_extensions": [flag for flag in _VECTOR_FLAGS if flag in flags],
    }


def _cpuinfo() -> dict[str, str]:
    """Return the entries of the first processor in /proc/cpuinfo; empty on other systems."""
    if not _CPUINFO.exists():
        return {}
    first = _CPUINFO.read_text(errors="replace").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
