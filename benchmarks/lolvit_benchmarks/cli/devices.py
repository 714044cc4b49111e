"""`lolvit devices`."""

from __future__ import annotations

from dataclasses import asdict

import click

from lolvit.output import print_json, results
from lolvit_benchmarks.backends.registry import DEVICES, DeviceStatus, list_devices
from lolvit_runtimes.probe import Status, runtime_status


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def devices(as_json: bool) -> None:
    """List what lolvit bench can measure on from here, and with which runtimes."""
    found, host = list_devices(), DEVICES["host"].runtimes
    runtimes = [status for status in runtime_status() if status.id in host]
    if as_json:
        print_json({"devices": list(map(asdict, found)), "runtimes": list(map(_row, runtimes))})
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("device or runtime", "kind", "ready", "what, or why not")
    rows: list[DeviceStatus | Status] = [*found, *runtimes]
    for status in rows:
        ready = "[green]yes[/green]" if status.ready else "[red]no[/red]"
        table.add_row(status.id, status.kind, ready, escape(_what(status)))
    results().print(table)


def _what(status: DeviceStatus | Status) -> str:
    """Return what a device is, what it can tell and what it can't."""
    lines = [status.reason]
    if isinstance(status, DeviceStatus):
        lines += [f"tells: {', '.join(status.tells)}"] if status.tells else []
        lines += [f"can't tell: {', '.join(status.silent)}"] if status.silent else []
    return "\n".join(lines)


def _row(status: Status) -> dict[str, str | bool]:
    return {
        "id": status.id,
        "kind": status.kind,
        "ready": status.ready,
        "reason": status.reason,
    }
