"""`test`: compiles the Swift package and runs its tests in the folder of `lolvit setup swift`."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import click

from ios_build.fixtures import write_fixtures
from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.system.swift import command, environment, find_installation, require_machine

REPOSITORY = Path(__file__).resolve().parents[3]
# Release: without optimization, preprocessing takes a hundred times as long.
_OPTIONS = "-c release -Xswiftc -enable-testing -Xswiftc -warnings-as-errors --scratch-path /build"
_PASSED = re.compile(r"Test run with (\d+) tests? .*passed after")
_FAILED = re.compile(r"^.*(error:|recorded an issue).*$", re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """The folders of a build: the Swift package, and where everything that is made goes."""

    package: Path
    directory: Path

    @property
    def fixtures(self) -> Path:
        """What Python writes for the tests."""
        return self.directory / "fixtures"

    @property
    def log(self) -> Path:
        """What Swift printed."""
        return self.directory / "test.log"


@dataclass(frozen=True)
class Outcome:
    """How many tests passed, in Swift's own version, and the seconds of each step."""

    tests: int
    swift: str
    fixture_seconds: float
    swift_seconds: float


def run_tests(build: Build, only: str | None = None, *, keep: bool = False) -> Outcome:
    """Write the fixtures (with `keep`, only if there are none), compile, and run the tests.

    Raises:
        UserError: Swift is not installed.
        DeviceError: the package does not compile.
        GateFailedError: a test failed.
    """
    require_machine()
    found = find_installation()
    if found is None:
        raise UserError("Swift is not installed", remedy="run: lolvit setup swift")
    start = time.monotonic()
    if not (keep and (build.fixtures / "predictions.json").is_file()):
        write_fixtures(build.fixtures, REPOSITORY)
    written = time.monotonic()
    tests = _swift(build, only)
    return Outcome(tests, found["swift"], written - start, time.monotonic() - written)


def _swift(build: Build, only: str | None) -> int:
    """Compile and run; return how many tests passed."""
    compiled = build.directory / "swift"
    compiled.mkdir(parents=True, exist_ok=True)
    folders = {"/package": build.package, "/build": compiled, "/fixtures": build.fixtures}
    chosen = f" --filter {shlex.quote(only)}" if only else ""
    script = f"cd /package && swift build --build-tests {_OPTIONS} && echo compiled &&"
    script += f" LOLVIT_FIXTURES=/fixtures swift test --skip-build {_OPTIONS}{chosen}"
    with build.log.open("w") as log:
        ended = subprocess.run(
            command(script, folders=folders), env=environment(), stdout=log,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    text = build.log.read_text(errors="replace")
    if ended.returncode:
        kind = GateFailedError if "\ncompiled\n" in text else DeviceError
        failed = _FAILED.search(text)
        what = failed[0].strip() if failed else f"swift ended with exit code {ended.returncode}"
        raise kind(what, where=str(build.log), remedy="read this log")
    passed = _PASSED.search(text)
    if passed is None or int(passed[1]) == 0:
        raise GateFailedError("no test ran", where=str(build.log), remedy="read this log")
    return int(passed[1])


def print_outcome(outcome: Outcome) -> None:
    """Print the number of tests and what they took."""
    click.echo(
        f"ios: {outcome.tests} passed, 0 failed in {outcome.swift_seconds:.0f} s, after"
        f" {outcome.fixture_seconds:.0f} s for fixtures; {outcome.swift}"
    )
