"""`lolvit doctor`: what is installed, what is missing, and the command that installs it."""

from __future__ import annotations

import platform
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lolvit.output import narrow, print_json, print_table, results
from lolvit.version import __version__
from lolvit_runtimes.probe import (
    Extra,
    Status,
    extras,
    machine,
    runtime_status,
    tool_status,
    uncompiled_modules,
    unoptimized_python,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_OPTIMIZE = "PYTHON_CONFIGURE_OPTS='--enable-optimizations --with-lto' pyenv install"
_OF_THE_REPOSITORY = "dev"  # an extra that users of the wheel don't need


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Show what can run on this machine, what is missing, and how to install it."""
    found, devices, host = extras(), [*runtime_status(), *tool_status()], machine()
    uncompiled, unoptimized = uncompiled_modules(), unoptimized_python()
    if as_json:
        print_json(_document(found, devices, host, uncompiled, unoptimized))
        return
    found = [extra for extra in found if extra.ready or extra.name != _OF_THE_REPOSITORY]
    out = results()
    out.print(f"lolvit {__version__}, Python {platform.python_version()}, {host['system']}")
    out.print(f"{host['cpu']}, {host['cores']} cores ({host['usable_cores']} usable)")
    out.print(f"vector extensions: {' '.join(host['vector_extensions']) or 'unknown'}")  # type: ignore[arg-type]
    if uncompiled is not None:
        folder, reason = uncompiled
        command = f"python -m compileall -q {shlex.quote(str(folder))}"
        out.print(
            f"the modules in {folder} are not compiled, and {reason}:"
            f" each command takes seconds longer; run: {command}"
        )
    if unoptimized is not None:
        out.print(
            f"the Python in {unoptimized} was compiled without optimizations: every command is"
            f" slower than with the distribution's; pyenv compiles another with {_OPTIMIZE}"
        )
    if out.is_terminal:
        _print_short(found, devices, out)
        return
    print_table(_extras_table(found), out)
    print_table(_devices_table(devices), out)


def _print_short(found: list[Extra], devices: list[Status], out: Console) -> None:
    """Print what is installed in few lines, and what is missing with the command that installs it:
    80 columns are wide enough."""
    ready = [extra.name for extra in found if extra.ready]
    out.print(f"extras installed: {', '.join(ready) or 'none'}")
    for extra in found:
        if not extra.ready:
            missing = [name for name, number in extra.packages.items() if number is None]
            out.print(f"extra {extra.name} lacks {', '.join(missing)}; run: {extra.command}")
    table = _devices_table(sorted(devices, key=lambda device: not device.ready))
    table.title = None
    print_table(narrow(table), out)


def _document(
    found: list[Extra],
    devices: list[Status],
    host: dict[str, Any],
    uncompiled: tuple[Path, str] | None,
    unoptimized: Path | None,
) -> dict[str, Any]:
    return {
        "lolvit": __version__,
        "python": platform.python_version(),
        "machine": host,
        "extras": [
            {
                "name": extra.name,
                "ready": extra.ready,
                "packages": extra.packages,
                "command": extra.command,
            }
            for extra in found
        ],
        "devices": [asdict(device) for device in devices],
        "uncompiled_modules": uncompiled
        and {"folder": str(uncompiled[0]), "reason": uncompiled[1]},
        "unoptimized_python": unoptimized and str(unoptimized),
    }


def _extras_table(found: list[Extra]) -> Any:
    from rich.table import Table

    table = Table("extra", "installed", "missing", "install with", title="Extras")
    for extra in found:
        present = [f"{name} {number}" for name, number in extra.packages.items() if number]
        missing = [name for name, number in extra.packages.items() if not number]
        table.add_row(
            extra.name,
            _few(present),
            ", ".join(missing) or "-",
            "-" if extra.ready else extra.command,
        )
    return table


def _few(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "-") + rest


def _devices_table(devices: list[Status]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("runtime or tool", "version", "ready", "note", title="Runtimes")
    for (ready, reason), alike in _by_reason(devices).items():
        word, style = ("yes", "green") if ready else ("no", "red")
        ids = "\n".join(device.id for device in alike)
        versions = "\n".join(device.version or "-" for device in alike)
        table.add_row(ids, versions, Text("\n".join([word] * len(alike)), style), reason)
    return table


def _by_reason(devices: list[Status]) -> dict[tuple[bool, str], list[Status]]:
    """Return the devices in their order, those together that lack the same."""
    found: dict[tuple[bool, str], list[Status]] = {}
    for device in devices:
        found.setdefault((device.ready, device.reason), []).append(device)
    return found
