"""`lolvit devices`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import click

from lolvit.output import narrow, print_json, print_table, results
from lolvit_benchmarks.backends.registry import DEVICES, DeviceStatus, list_devices
from lolvit_runtimes.probe import Status, runtime_status


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def devices(as_json: bool) -> None:
    """List the devices and runtimes that lolvit bench and lolvit verify can use from this machine.

    For each: whether it is ready, what it is or what is missing, and which figures it reports.
    """
    found, host = list_devices(), DEVICES["host"].runtimes
    runtimes = [status for status in runtime_status() if status.id in host]
    if as_json:
        print_json({"devices": list(map(asdict, found)), "runtimes": list(map(_row, runtimes))})
        return
    from rich.table import Table
    from rich.text import Text

    out = results()
    table = Table("device or runtime", "kind", "ready", "what it is, or what is missing")
    rows: list[DeviceStatus | Status] = [*found, *runtimes]
    for _, group in groupby(rows, _alike if out.is_terminal else id):
        alike = list(group)
        ready = Text("yes", "green") if alike[0].ready else Text("no", "red")
        ids = "\n".join(status.id for status in alike)
        table.add_row(ids, alike[0].kind, ready, _what(alike))
    print_table(narrow(table) if out.is_terminal else table, out)


def _alike(status: DeviceStatus | Status) -> tuple[object, ...]:
    """Return what devices have in common that share a row: several of a vendor's chips differ in
    their names alone."""
    own, _, part = status.id.partition(":")
    figures = (status.reports, status.not_reported) if isinstance(status, DeviceStatus) else ()
    return (own if part else status.id, status.kind, status.ready, figures)


def _what(alike: list[DeviceStatus | Status]) -> str:
    """Return what devices are, and which figures they report and which they can't."""
    status, lines = alike[0], [each.reason for each in alike]
    if isinstance(status, DeviceStatus):
        lines += [f"reports: {', '.join(status.reports)}"] if status.reports else []
        if status.not_reported:
            lines.append(f"not reported: {', '.join(status.not_reported)}")
    return "\n".join(lines)


def _row(status: Status) -> dict[str, str | bool]:
    return {
        "id": status.id,
        "kind": status.kind,
        "ready": status.ready,
        "reason": status.reason,
    }
