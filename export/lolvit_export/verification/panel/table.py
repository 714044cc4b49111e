"""The panel's rows as tables in Markdown: good artifacts, faults of models, of quantized artifacts
and of manifests."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_export.targets import find_target
from lolvit_export.verification.panel.run import Row


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the tables. A good artifact has its SNR and agreement, each beside its threshold and
    in the runtime where it is nearest to that; a fault, for each kind of artifact, in how many
    networks it was caught, and a gate that failed in the one that it shows least in."""
    good = [row for row in rows if row.fault is None]
    lines = ["| network | artifact | | SNR in dB | same top class |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.network} | {_artifact(row)} | {_verdict(row)} | {_nearest(row, 'snr_db')}"
        f" | {_nearest(row, 'top1')} |"
        for row in good
    ]
    faulty = [row for row in rows if row.fault is not None]
    for kind in ("model", "quantized", "manifest"):
        lines += _faults([row for row in faulty if _kind(row) == kind])
    return "\n".join(lines) + "\n"


def _faults(rows: Sequence[Row]) -> list[str]:
    """Return a table with a row for each fault and a column for each kind of artifact."""
    if not rows:
        return []
    artifacts = list(dict.fromkeys(map(_artifact, rows)))
    lines = ["", f"| fault | {' | '.join(artifacts)} |", "|---" * (len(artifacts) + 1) + "|"]
    for fault in dict.fromkeys(row.fault for row in rows):
        same = [row for row in rows if row.fault == fault]
        cells = [_caught([row for row in same if _artifact(row) == each]) for each in artifacts]
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return lines


def _caught(rows: Sequence[Row]) -> str:
    if not rows:
        return "-"
    caught, hidden = (sum(row.verdict == each for row in rows) for each in ("caught", "hidden"))
    also = f", {hidden} hidden" if hidden else ""
    return f"{caught} of {len(rows)}{also}: {_closest(rows)}"


def summary(rows: Sequence[Row]) -> str:
    """Return one line with the numbers of both kinds."""
    good = [row for row in rows if row.fault is None]
    faulty = [row for row in rows if row.fault is not None]
    passed = sum(row.as_expected for row in good)
    caught, hidden = (sum(row.verdict == each for row in faulty) for each in ("caught", "hidden"))
    also = f", {hidden} are hidden by rounding" if hidden else ""
    return (
        f"{passed} of {len(good)} good artifacts passed, {caught} of {len(faulty)} faulty ones were"
        f" caught{also}"
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


def _kind(row: Row) -> str:
    if row.target == "manifest":
        return "manifest"
    return "quantized" if row.precision in find_target(row.target).quantized else "model"


def _closest(rows: Sequence[Row]) -> str:
    """Return a gate that failed in the network that a fault shows least in; of a fault that was
    missed or is hidden, all gates."""
    passed = next((row for row in rows if not row.failed), None)
    if passed is not None:
        return f"{passed.network}: {', '.join(passed.gates)}"
    row = min(rows, key=lambda each: len(each.failed))
    return row.failed[0] if row.failed else ""
