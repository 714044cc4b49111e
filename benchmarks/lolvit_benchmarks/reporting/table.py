"""Results as a table for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from lolvit.accuracy import AccuracyDocument, ComparisonDocument
from lolvit.output import print_table
from lolvit.text import markdown
from lolvit.verification import VerificationDocument
from lolvit_benchmarks.reporting import frontier, grids, matrix
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.text import Grid
from lolvit_benchmarks.results.document import Document, Estimate, Result
from lolvit_benchmarks.results.notes import all_notes

if TYPE_CHECKING:
    from rich.console import Console

_LEFT = ("runtime", "candidate", "baseline", "quality")


def show(document: Document, out: Console) -> None:
    """Print a document's results, why ratios are invalid, what was found, and what failed."""
    if document.results:
        print_table(_rich_table(document.results), out)
    for grid in _all_grids(document.results, document.estimates):
        _print_grid(grid, out)
    for result in document.results:
        _print_quality(result, out)
    for note in all_notes((*document.results, *document.estimates)):
        out.print(note, style="yellow")
    for failure in document.failures:
        out.print(f"FAILED: {words.failed(failure)}: {failure.what}", style="red")
    if document.state == "interrupted":
        out.print("Interrupted: these are the results until then.", style="red")


def _print_quality(result: Result, out: Console) -> None:
    if not words.valid(result):
        out.print(f"INVALID: {words.place(result)}", style="red")
    for reason in result.quality.reasons:
        out.print(f"  {reason.text}")
    if result.quality.findings:
        out.print(f"Findings: {words.place(result)}")
    for finding in result.quality.findings:
        out.print(f"  {finding.text}")


def overviews(results: Sequence[Result]) -> list[Grid]:
    """Return the tables of several models, several sizes and sustained runs."""
    makers = (grids.peers, grids.sizes, grids.sustained)
    return [grid for maker in makers for grid in maker(results)]


def _all_grids(results: Sequence[Result], estimates: Sequence[Estimate]) -> list[Grid]:
    return [*overviews(results), *grids.estimates(estimates), *grids.operations(results)]


def _print_grid(grid: Grid, out: Console) -> None:
    """Print title and note as lines of their own: rich would fold them to the table's width."""
    table = Table()
    for number, heading in enumerate(grid.headings):
        table.add_column(heading, justify="left" if number < grid.left else "right")
    for row in grid.rows:
        table.add_row(*row)
    out.print(grid.title, style="bold")
    print_table(table, out)
    if grid.note:
        out.print(grid.note, style="italic")


def _rich_table(results: Sequence[Result]) -> Table:
    table = Table()
    for heading in words.HEADINGS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right")
    for result in results:
        table.add_row(*words.row(result))
    return table


def as_markdown(
    documents: Sequence[Document],
    verified: Sequence[VerificationDocument] = (),
    compared: Sequence[ComparisonDocument] = (),
    evaluated: Sequence[AccuracyDocument] = (),
) -> str:
    """Return the results of all documents as Markdown, with the conditions they hold under, what
    was verified on devices where nothing is timed, and the accuracies of trained models and of
    evaluated artifacts."""
    results = [result for document in documents for result in document.results]
    lines = ["### Latency", "", *_markdown_table(results), ""] if results else []
    estimates = [estimate for document in documents for estimate in document.estimates]
    everywhere = matrix.grid(documents, verified)
    points = grids.accuracy_points(results, evaluated)
    for grid in [
        *([everywhere] if everywhere else []),
        *_all_grids(results, estimates),
        *([grids.accuracy(points)] if points else []),
        *frontier.tables(frontier.frontiers(results, compared, evaluated)[0]),
    ]:
        heading, note = markdown(grid.title), markdown(grid.note)
        lines += [f"### {heading}", "", *_markdown_grid(grid), "", note, ""]
    lines += [f"- {markdown(words.headline(result))}" for result in results]
    lines += _warnings(documents)
    lines += [
        f"- Machine: {markdown(words.machine(document))}; profile {document.profile.name}, "
        f"{document.environment.date}, lolvit {document.environment.lolvit_version}"
        for document in documents
    ]
    return "\n".join(lines) + "\n"


def _markdown_table(results: Sequence[Result]) -> list[str]:
    rule = ("---" if heading in _LEFT else "---:" for heading in words.HEADINGS)
    return _markdown_rows(words.HEADINGS, tuple(rule), [words.row(r) for r in results])


def _markdown_grid(grid: Grid) -> list[str]:
    rule = ("---" if number < grid.left else "---:" for number in range(len(grid.headings)))
    return _markdown_rows(grid.headings, tuple(rule), grid.rows)


def _markdown_rows(
    headings: Sequence[str], rule: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    literal = [tuple(map(markdown, row)) for row in (headings, *rows)]
    return [f"| {' | '.join(row)} |" for row in (literal[0], rule, *literal[1:])]


def _warnings(documents: Sequence[Document]) -> list[str]:
    results = [result for document in documents for result in document.results]
    estimates = [estimate for document in documents for estimate in document.estimates]
    lines = [
        f"- **INVALID** ({markdown(words.place(result))}): {markdown(reason.text)}."
        for result in results
        for reason in result.quality.reasons
    ]
    lines += [
        f"- Finding ({markdown(words.place(result))}): {markdown(finding.text)}."
        for result in results
        for finding in result.quality.findings
    ]
    lines += [f"- **{markdown(note)}**" for note in all_notes((*results, *estimates))]
    for document in documents:
        lines += [
            f"- **Failed**: {markdown(f'{words.failed(failure)}: {failure.what}')}"
            for failure in document.failures
        ]
        if document.state == "interrupted":
            lines.append("- **Interrupted**: the run ended before all was measured.")
    return lines
