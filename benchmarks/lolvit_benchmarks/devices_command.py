"""`lolvit devices`."""

from __future__ import annotations

import click

from lolvit.output import print_json, results
from lolvit_runtimes.probe import Status, runtime_status
from lolvit_runtimes.table import RUNTIMES


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def devices(as_json: bool) -> None:
    """List what lolvit bench can measure on from here, and with which runtimes."""
    runtimes = [status for status in runtime_status() if status.id in timed_runtimes()]
    host = host_status(runtimes)
    if as_json:
        print_json({"devices": [_row(host)], "runtimes": [_row(status) for status in runtimes]})
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("device or runtime", "kind", "ready", "what, or why not")
    for status in (host, *runtimes):
        ready = "[green]yes[/green]" if status.ready else "[red]no[/red]"
        table.add_row(status.id, status.kind, ready, escape(status.reason))
    results().print(table)


def timed_runtimes() -> list[str]:
    """Return the runtimes whose speed means something: references are for numbers."""
    return [name for name in RUNTIMES if not name.endswith("-reference")]


def host_status(runtimes: list[Status]) -> Status:
    """Return this machine as a device: ready if any of its runtimes is."""
    ready = [f"{status.id} {status.version}" for status in runtimes if status.ready]
    if ready:
        return Status("host", "cpu", True, f"this machine, with {', '.join(ready)}")
    missing = "no runtime is installed; run: pip install 'lolvit[bench]'"
    return Status("host", "cpu", False, missing)


def _row(status: Status) -> dict[str, str | bool]:
    return {
        "id": status.id,
        "kind": status.kind,
        "ready": status.ready,
        "reason": status.reason,
    }
