"""`test`: compiles library and app, and runs the Robolectric tests on real artifacts."""

from __future__ import annotations

import json
import shutil
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path

import click

from android_build.benchmark_check import check_benchmark
from android_build.benchmark_requests import write_requests
from android_build.benchmark_vectors import STATISTICS, write_benchmark_vectors
from android_build.fetch import fetch
from android_build.fixtures import PREDICTIONS, write_fixtures
from android_build.models import export_models, package_models
from android_build.project import Build
from android_build.resources import link_resources
from android_build.tools import run
from lolvit.errors import DeviceError, GateFailedError
from lolvit_benchmarks.analysis import quality, statistics
from lolvit_benchmarks.backends.android import contract
from lolvit_benchmarks.harness import schedule


@dataclass(frozen=True)
class Outcome:
    """How many tests ran, which failed, and the parity figures that they wrote."""

    tests: int
    skipped: int
    failures: tuple[str, ...]
    seconds: float
    figures: tuple[dict[str, object], ...]


def prepare(build: Build, models: Path) -> None:
    """Fetch the parts, export and package the models, make the fixtures, link the resources.

    Raises:
        UserError: Java or Maven is missing, or a model is damaged.
        DeviceError: a tool failed.
    """
    fetch(build)
    export_models(models, build.logs)
    packaged = package_models(models, build.assets)
    if not _newer(build.fixtures / "logits.json", [*models.glob("*/manifest.json"), *_sources()]):
        write_fixtures(build.fixtures, packaged)
        write_benchmark_vectors(build.fixtures / "benchmark.json")
        write_requests(build.fixtures / "bench", packaged)
    link_resources(build)


def run_tests(build: Build, only: str | None) -> Outcome:
    """Compile, run the tests (or those whose class matches `only`), and read what they report.

    Raises:
        DeviceError: it does not compile.
        GateFailedError: a test failed.
    """
    reports = build.directory / "surefire-reports"
    for folder in (reports, build.directory / "parity", build.directory / "bench"):
        shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    chosen = [f"-Dtest={only}"] if only else []
    try:
        run(build.maven("test", *chosen), log=build.logs / "test.log", what="the Maven build")
    except DeviceError:
        outcome = _outcome(build, time.monotonic() - start)
        if not outcome.failures:
            raise
        raise GateFailedError(
            f"{len(outcome.failures)} of {outcome.tests} tests failed: {outcome.failures[0]}",
            where=str(build.logs / "test.log"),
            remedy="read this log",
        ) from None
    outcome = _outcome(build, time.monotonic() - start)
    return replace(outcome, figures=(*outcome.figures, *check_benchmark(build)))


def print_outcome(outcome: Outcome) -> None:
    """Print the parity figures and the number of tests."""
    for figure in outcome.figures:
        click.echo("parity: " + ", ".join(f"{key} {value}" for key, value in figure.items()))
    passed = outcome.tests - outcome.skipped
    click.echo(f"android: {passed} passed, {outcome.skipped} skipped in {outcome.seconds:.0f} s")


def _outcome(build: Build, seconds: float) -> Outcome:
    reports = build.directory / "surefire-reports"
    suites = [ElementTree.parse(path).getroot() for path in sorted(reports.glob("TEST-*.xml"))]
    cases = [case for suite in suites for case in suite.iter("testcase")]
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    figures = sorted((build.directory / "parity").glob("*.json"))
    return Outcome(
        tests=len(cases),
        skipped=sum(case.find("skipped") is not None for case in cases),
        failures=tuple(f"{case.get('classname')}: {case.get('name')}" for case in failed),
        seconds=seconds,
        figures=tuple(json.loads(path.read_text()) for path in figures),
    )


def _newer(made: Path, sources: list[Path]) -> bool:
    """Whether a file is newer than all of its sources."""
    return made.is_file() and all(p.stat().st_mtime < made.stat().st_mtime for p in sources)


def _sources() -> list[Path]:
    names = ("fixtures.py", "photos.py", "benchmark_vectors.py", "benchmark_requests.py")
    harness = [Path(str(module.__file__)) for module in (statistics, quality, schedule, contract)]
    return [*(Path(__file__).with_name(name) for name in names), STATISTICS, PREDICTIONS, *harness]
