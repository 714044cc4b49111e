"""What a run skipped, and how to have it run; with CI=true a reason that is not listed fails it.

`expected_skips.txt` lists the reasons. Works under pytest-xdist: the controller sees every report.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected_skips.txt")
REMEDY = "make test-deps"


def expected_reasons() -> list[re.Pattern[str]]:
    """Return the patterns of `expected_skips.txt`."""
    lines = map(str.strip, EXPECTED.read_text().splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


class SkipPolicy:
    """Collects the skips of a run by their reasons."""

    def __init__(self) -> None:
        self._expected = expected_reasons()
        self._skipped: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped:
            reason = (
                report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            )
            self._skipped[reason.removeprefix("Skipped: ")].add(report.nodeid)

    def _is_expected(self, reason: str) -> bool:
        return any(pattern.search(reason) for pattern in self._expected)

    @property
    def _unexpected(self) -> list[str]:
        return [reason for reason in self._skipped if not self._is_expected(reason)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if _in_ci() and self._unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._skipped:
            return
        terminalreporter.section("skipped")
        for reason, names in sorted(self._skipped.items(), key=lambda item: -len(item[1])):
            mark = "" if self._is_expected(reason) else "NOT EXPECTED: "
            terminalreporter.line(f"{len(names):4}  {mark}{reason}")
        if self._unexpected:
            terminalreporter.line(f"To have them run: {REMEDY}")
            if _in_ci():
                terminalreporter.line(
                    f"CI=true: failed, for {EXPECTED.name} does not list these reasons", red=True
                )


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run, in the process that sees all of it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipPolicy(), "lolvit-skips")
