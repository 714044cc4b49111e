"""The machine and the software that a result was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

import lolvit
from lolvit_benchmarks.harness.pinning import available_cores
from lolvit_benchmarks.harness.sysfs import Machine

PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "openvino", "executorch", "coremltools")


class Environment(BaseModel):
    """What could be read of a machine; None is what could not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    cpu: str | None = Field(description="the processor's name, as it calls itself")
    cpu_flags: tuple[str, ...] | None = Field(description="its features, as the kernel lists them")
    architecture: str
    virtual: bool | None = Field(description="whether this is a guest of a hypervisor")
    cores: int = Field(description="logical cores of the machine")
    cores_available: int = Field(description="logical cores that the process may use")
    governor: str | None
    frequency_mhz: float | None
    highest_frequency_mhz: float | None
    temperature_c: float | None
    battery_percent: int | None
    on_mains: bool | None
    load_average: tuple[float, float, float] | None = Field(description="over 1, 5 and 15 minutes")
    memory_bytes: int | None
    system: str
    python: str
    packages: dict[str, str] = Field(description="versions of those installed")
    lolvit_version: str
    lolvit_commit: str | None = Field(description="with '+changes' where files differ from it")
    date: str


def read_environment(machine: Machine | None = None) -> Environment:
    """Return the state of this machine now."""
    machine = machine or Machine()
    cores = available_cores()
    flags = machine.cpu_flags()
    return Environment(
        device="host",
        cpu=machine.cpu_model(),
        cpu_flags=flags,
        architecture=platform.machine(),
        virtual=_is_virtual(flags),
        cores=os.cpu_count() or len(cores),
        cores_available=len(cores),
        governor=machine.governor(cores),
        frequency_mhz=machine.frequency_mhz(cores),
        highest_frequency_mhz=machine.highest_frequency_mhz(cores),
        temperature_c=machine.temperature_c(),
        battery_percent=machine.battery_percent(),
        on_mains=machine.on_mains(),
        load_average=os.getloadavg() if hasattr(os, "getloadavg") else None,
        memory_bytes=_memory_bytes(),
        system=platform.platform(),
        python=platform.python_version(),
        packages=_versions(),
        lolvit_version=lolvit.__version__,
        lolvit_commit=_commit(Path(lolvit.__file__)),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_virtual(flags: tuple[str, ...] | None) -> bool | None:
    """x86 processors say so among their flags; others don't."""
    if flags is None or platform.machine() not in ("x86_64", "AMD64"):
        return None
    return "hypervisor" in flags


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit(source: Path) -> str | None:
    """Return the commit of the work tree that tracks `source`; None where none does."""
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = _git(source.parent, "rev-parse", "HEAD")
    changes = _git(source.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
