"""The panel's rows as two tables in Markdown: good artifacts, and faults."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_export.verification.panel.run import Row


def as_markdown(rows: Sequence[Row]) -> str:
    """Return both tables; a good artifact with its SNR and agreement, each beside its threshold and
    in the runtime where it is nearest to that, a fault with what caught it."""
    good = [row for row in rows if row.fault is None]
    faulty = [row for row in rows if row.fault is not None]
    lines = ["| network | artifact | | SNR in dB | same top class |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.network} | {_artifact(row)} | {_verdict(row)} | {_nearest(row, 'snr_db')}"
        f" | {_nearest(row, 'top1')} |"
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


def _verdict(row: Row) -> str:
    return f"{row.verdict}: {', '.join(row.failed)}" if row.failed else row.verdict


def _nearest(row: Row, name: str) -> str:
    """Return a gate's value and threshold in the runtime where it is nearest to that."""
    gates = [line.split() for line in row.gates if line.split()[0].endswith(f".{name}")]
    if not gates:
        return ""
    gate, value, _, threshold = min(gates, key=lambda each: float(each[1]) - float(each[3]))
    return f"{value}, {threshold} ({gate.partition('.')[0]})"


def _artifact(row: Row) -> str:
    return f"{row.target} {row.precision}".strip()


def _closest(rows: Sequence[Row]) -> str:
    """Return the network that a fault shows least in, with the gates it failed, or all gates."""
    missed = next((row for row in rows if not row.as_expected), None)
    row = missed or min(rows, key=lambda each: len(each.failed))
    return f"{row.network}: {', '.join(row.failed or row.gates)}"
