"""External programs: finding and running them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lolvit.errors import DeviceError, UserError

# Each program that the builds call, and Debian's package that has it.
PACKAGES = {
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
    "mvn": "maven",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
}

# Builds and tests are over before code compiled with more optimization has paid for the compiling,
# which other cores do: without these options, compiling the app takes 135 s of processor time
# instead of 76, shrinking it 81 instead of 39, testing it an eighth more.
SHORT_LIVED_JAVA = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


def require(programs: Sequence[str]) -> None:
    """Check that programs are installed.

    Raises:
        UserError: some are missing; it names the command that adds them all.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = sorted({PACKAGES[program] for program in missing})
        raise UserError(
            f"{', '.join(missing)} not found, which the Android build needs",
            remedy=f"on Debian, run: apt-get install --yes {' '.join(packages)}",
        )


def run(command: Sequence[str | Path], *, log: Path, what: str, cwd: Path | None = None) -> None:
    """Run a program with its output in a file; the Java machines that it starts are set up for a
    short life, unless JAVA_TOOL_OPTIONS says otherwise.

    Raises:
        DeviceError: it failed; the message has the reason from the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        ended = subprocess.run(
            [str(part) for part in command],
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=SHORT_LIVED_JAVA | os.environ,
        )
    if ended.returncode:
        raise DeviceError(f"{what} failed: {_reason(log)}", where=str(log), remedy="read this log")


def _reason(log: Path) -> str:
    """Return the first line that a tool marks as an error, or its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marked = [line for line in lines if "error" in line.lower()]
    return (marked or lines or ["it printed nothing"])[0 if marked else -1]


def output_of(command: Sequence[str | Path]) -> tuple[int, str]:
    """Run a program; return its exit code, and what it printed."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr
