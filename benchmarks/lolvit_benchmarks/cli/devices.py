"""`lolvit devices`."""

from __future__ import annotations

from dataclasses import asdict

import click

from lolvit.output import print_json, print_table, results
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

    table = Table("device or runtime", "kind", "ready", "what it is, or what is missing")
    rows: list[DeviceStatus | Status] = [*found, *runtimes]
    for status in rows:
        ready = Text("yes", "green") if status.ready else Text("no", "red")
        table.add_row(status.id, status.kind, ready, _what(status))
    print_table(table, results())


def _what(status: DeviceStatus | Status) -> str:
    """Return what a device is, which figures it reports and which it can't."""
    lines = [status.reason]
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
