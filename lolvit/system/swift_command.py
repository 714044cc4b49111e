"""`lolvit setup swift`."""

from __future__ import annotations

import click

from lolvit.output import console, print_json


@click.command()
@click.option("--mirror", metavar="URL", help="A Debian mirror. Default: Debian's own.")
@click.option("--reinstall", is_flag=True, help="Download again what is already installed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def swift(mirror: str | None, reinstall: bool, as_json: bool) -> None:
    """Install Swift, to test the iOS library of the repository on Linux.

    Downloads about 550 MB (Debian 13's Swift and what it needs, signatures checked) into your
    cache, where they take 2.5 GB; the system is not changed. Needs no root rights, but apt.
    """
    from lolvit.system.debian import PUBLIC_MIRROR
    from lolvit.system.swift import find_installation, install, install_folder

    out = console()

    def report(line: str) -> None:
        out.print(line)

    inventory = None if reinstall else find_installation()
    if inventory is None:
        inventory = install(report, mirror or PUBLIC_MIRROR)
    report(f"{inventory['swift']}, in {install_folder()}")
    if as_json:
        print_json({"folder": str(install_folder()), **inventory})
