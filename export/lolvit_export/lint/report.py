"""Findings as tables and as a document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from lolvit.manifest import Format
from lolvit_export.lint.rules import Finding, Severity

PLACES_SHOWN = 2


@dataclass(frozen=True)
class LintResult:
    """The findings and the advice on one artifact, for all of its `targets`."""

    path: str
    format: Format
    operations: int
    targets: tuple[str, ...]
    found: tuple[Finding, ...]

    def of(self, severity: Severity) -> list[Finding]:
        """Return only the findings, or only the advice."""
        return [finding for finding in self.found if finding.severity == severity]


def as_document(results: Iterable[LintResult]) -> dict[str, Any]:
    """Return what `--json` prints."""
    artifacts = list(results)
    return {
        "artifacts": [
            {
                "path": each.path,
                "format": each.format,
                "operations": each.operations,
                "targets": list(each.targets),
            }
            for each in artifacts
        ],
        "findings": _rows(artifacts, "finding"),
        "advice": _rows(artifacts, "advice"),
    }


def _rows(results: Iterable[LintResult], severity: Severity) -> list[dict[str, str]]:
    rows = []
    for each in results:
        for finding in each.of(severity):
            row: dict[str, str] = {"artifact": each.path} | asdict(finding)
            del row["severity"]
            rows.append(row)
    return rows


def tables(results: Iterable[LintResult], severity: Severity) -> list[Table]:
    """Return a table for each artifact with findings (or advice): a row for each rule that applies
    to a kind of operation."""
    title = {"finding": "findings", "advice": "advice"}[severity]
    shown = []
    for each in results:
        groups = _groups(each.of(severity))
        if groups:
            shown.append(_table(f"{each.path}: {title}", groups))
    return shown


def _table(title: str, groups: Iterable[list[Finding]]) -> Table:
    table = Table("target", "operation", "why", "what to do", title=title)
    for group in groups:
        first = group[0]
        count = f" ({len(group)})" if len(group) > 1 else ""
        table.add_row(
            first.target,
            f"{first.op}{count}: {_places(group)}",
            first.reason,
            first.remedy,
        )
    return table


def _groups(found: Iterable[Finding]) -> list[list[Finding]]:
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.target, finding.rule, finding.op), []).append(finding)
    return list(groups.values())


def _places(group: list[Finding]) -> str:
    shown = [finding.place for finding in group[:PLACES_SHOWN]]
    left = len(group) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def sources(results: Iterable[LintResult], severity: Severity) -> list[str]:
    """Return a line for each rule that applied, with where it is from."""
    found = [finding for each in results for finding in each.of(severity)]
    lines = {f"{f.target}/{f.rule}: {f.source}": None for f in found}
    return list(lines)
