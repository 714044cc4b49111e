"""`test`: compiles the Swift package and runs its tests in the folder of `lolvit setup swift`."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from ios_build.fixtures import write_fixtures
from ios_build.mutations import MUTATIONS, Mutation
from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.system.swift import command, environment, find_installation, require_machine
from lolvit_benchmarks.results.checks import read_checked_result

REPOSITORY = Path(__file__).resolve().parents[3]
# Release: without optimization, preprocessing takes a hundred times as long.
_OPTIONS = "-c release -Xswiftc -enable-testing -Xswiftc -warnings-as-errors --scratch-path /build"
# Compiles what uses Apple's frameworks against the package's stubs of them.
_STUBS = "LOLVIT_STUBS=1"
_PASSED = re.compile(r"Test run with (\d+) tests? .*passed after")
_FAILED = re.compile(r"^.*(error:|recorded an issue).*$", re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """The folders of a build: the Swift package, and where everything that is made goes."""

    package: Path
    directory: Path
    library: Path | None = None  # of a package that depends on it by the path ../../LOLViT

    @property
    def compiled(self) -> Path:
        """What Swift compiles: of both packages, so that the library is compiled once."""
        return self.directory / "swift"

    @property
    def fixtures(self) -> Path:
        """What Python writes for the tests."""
        return self.directory / "fixtures"

    @property
    def results(self) -> Path:
        """What the tests write for Python to check."""
        return self.directory / "results"

    @property
    def log(self) -> Path:
        """What Swift printed."""
        return self.directory / ("test.log" if self.library is None else "app.log")

    @property
    def folders(self) -> dict[str, Path]:
        """The packages, the one to test first, by the paths that they have for Swift."""
        if self.library is None:
            return {"/ios/LOLViT": self.package}
        return {"/ios/App/DemoState": self.package, "/ios/LOLViT": self.library}


@dataclass(frozen=True)
class Outcome:
    """How many tests passed, in Swift's own version, and the seconds of each step; what Python says
    of the result document that they wrote, and the mutations that they caught."""

    tests: int
    swift: str
    fixture_seconds: float
    swift_seconds: float
    result: str | None = None
    caught: tuple[str, ...] = ()


def run_tests(
    build: Build,
    only: str | None = None,
    *,
    keep: bool = False,
    mutate: bool = False,
    also: tuple[Build, ...] = (),
) -> Outcome:
    """Write the fixtures (with `keep`, only if there are none), compile, and run the tests; with
    `mutate`, then again with one constant changed at a time. While the fixtures are written, the
    packages of `also` are compiled too.

    Raises:
        UserError: Swift is not installed, or the tests' result document is invalid.
        DeviceError: the package does not compile.
        GateFailedError: a test failed, or none did with a changed constant.
    """
    require_machine()
    found = find_installation()
    if found is None:
        raise UserError("Swift is not installed", remedy="run: lolvit setup swift")
    start = time.monotonic()
    with _building(build, *also):
        if not (keep and (build.fixtures / "predictions.json").is_file()):
            write_fixtures(build.fixtures, REPOSITORY)
        written = time.monotonic()
    shutil.rmtree(build.results, ignore_errors=True)
    tests = _swift(build, only)
    result = check_result(build.results / "result.json")
    caught = tuple(_caught(build, mutation) for mutation in (MUTATIONS if mutate else ()))
    return Outcome(
        tests, found["swift"], written - start, time.monotonic() - written, result, caught
    )


def run_app_tests(build: Build) -> int:
    """Compile the demo app's state, after the library's tests, and run its tests; return how many
    passed. Python opens the result document that its benchmark wrote.

    Raises:
        UserError: that document is invalid.
        DeviceError: the package does not compile.
        GateFailedError: a test failed.
    """
    tests = _swift(build, None)
    if check_result(build.results / "app-result.json") is None:
        raise GateFailedError("the app's benchmark wrote no result", where=str(build.results))
    return tests


def _caught(build: Build, mutation: Mutation) -> str:
    """Check that tests fail with a constant changed, in a copy of the package; return its name."""
    changed = Build(build.directory / "mutated" / "package", build.directory / "mutated")
    shutil.rmtree(changed.directory, ignore_errors=True)
    shutil.copytree(build.package, changed.package)
    mutation.apply(changed.package)
    changed.fixtures.symlink_to(build.fixtures)
    # What is compiled already is kept: only the change is compiled.
    changed.compiled.symlink_to(build.compiled)
    try:
        _swift(changed, "Preprocessing|Detection")
    except GateFailedError:
        return mutation.name
    finally:
        shutil.rmtree(changed.directory)
    raise GateFailedError(f"no test noticed the mutation '{mutation.name}'")


@contextmanager
def _building(*builds: Build) -> Iterator[None]:
    """Compile while something else is done; what went wrong is found by `_swift`, which compiles
    what is left."""
    folder = builds[0].directory
    folder.mkdir(parents=True, exist_ok=True)
    script = "; ".join(_compile(build) for build in builds)
    with (folder / "build.log").open("w") as log:
        child = subprocess.Popen(
            _command(builds[-1], script, {}), env=environment(), stdout=log,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            child.wait()


def _compile(build: Build) -> str:
    """Return the shell command that compiles a package and its tests."""
    return f"cd {next(iter(build.folders))} && swift build --build-tests {_OPTIONS}"


def _command(build: Build, script: str, given: dict[str, Path]) -> list[str]:
    """Return the command line of a shell script in the folder of Swift, where the build's packages
    are, and what else is `given`."""
    folders = {**build.folders, "/build": build.compiled, **given}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    variables = f"{_STUBS} LOLVIT_FIXTURES=/fixtures LOLVIT_RESULTS=/results"
    return command(f"export {variables} && {script}", folders=folders)


def _swift(build: Build, only: str | None) -> int:
    """Compile and run; return how many tests passed."""
    chosen = f" --filter {shlex.quote(only)}" if only else ""
    script = f"{_compile(build)} && echo compiled &&"
    script += f" swift test --skip-build {_OPTIONS}{chosen}"
    with build.log.open("w") as log:
        ended = subprocess.run(
            _command(build, script, {"/fixtures": build.fixtures, "/results": build.results}),
            env=environment(), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
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


def check_result(path: Path) -> str | None:
    """Return what Python says of a result document that the tests wrote; None if there is none, as
    where other tests were chosen.

    Raises:
        UserError: it is no result document.
        GateFailedError: its speedup is not the one that Python computes from its samples.
    """
    if not path.is_file():
        return None
    result = read_checked_result(path)
    place = f"{result.runtime} {result.precision}, {len(result.candidate.samples)} runs"
    return f"{place}, {result.quality.state}"


def print_outcome(outcome: Outcome) -> None:
    """Print the number of tests and what they took."""
    click.echo(
        f"ios: {outcome.tests} passed, 0 failed in {outcome.swift_seconds:.0f} s, after"
        f" {outcome.fixture_seconds:.0f} s for fixtures; {outcome.swift}"
    )
    if outcome.result is not None:
        click.echo(f"ios: lolvit opens the result document: {outcome.result}")
    for name in outcome.caught:
        click.echo(f"ios: tests fail with another constant: {name}")
