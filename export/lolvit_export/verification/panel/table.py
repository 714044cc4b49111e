"""The panel's rows as two tables in Markdown: good artifacts, and faults."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_export.verification.panel.run import Row


def as_markdown(rows: Sequence[Row]) -> str:
    """Return both tables; a good artifact with its gates, a fault with what caught it."""
    good = [row for row in rows if row.fault is None]
    faulty = [row for row in rows if row.fault is not None]
    lines = ["| network | artifact | | gates |", "|---|---|---|---|"]
    lines += [
        f"| {row.network} | {row.target} {row.precision} | {row.verdict} | {', '.join(row.gates)} |"
        for row in good
    ]
    lines += ["", "| fault | artifacts | caught | by |", "|---|---|---|---|"]
    for fault, artifact in dict.fromkeys((row.fault, _artifact(row)) for row in faulty):
        same = [r for r in faulty if (r.fault, _artifact(r)) == (fault, artifact)]
        caught = sum(row.as_expected for row in same)
        lines.append(f"| {fault} | {artifact} | {caught} of {len(same)} | {_closest(same)} |")
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Return one line with the numbers of both kinds."""
    good = [row for row in rows if row.fault is None]
    faulty = [row for row in rows if row.fault is not None]
    passed, caught = (sum(row.as_expected for row in each) for each in (good, faulty))
    return (
        f"{passed} of {len(good)} good artifacts passed, {caught} of {len(faulty)} faulty ones were"
        " caught"
    )


def _artifact(row: Row) -> str:
    return f"{row.target} {row.precision}".strip()


def _closest(rows: Sequence[Row]) -> str:
    """Return the network that a fault shows least in, with the gates it failed, or all gates."""
    missed = next((row for row in rows if not row.as_expected), None)
    row = missed or min(rows, key=lambda each: len(each.failed))
    return f"{row.network}: {', '.join(row.failed or row.gates)}"
