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

    Downloads about 650 MB (a minimal Debian 13 with its Swift, signatures checked) into your
    cache, where they take 2.8 GB; the system is not changed. Needs root rights and debootstrap.
    """
    from lolvit.system.swift import PUBLIC_MIRROR, find_installation, install, install_folder

    out = console()

    def report(line: str) -> None:
        out.print(line)

    inventory = None if reinstall else find_installation()
    if inventory is None:
        inventory = install(report, mirror or PUBLIC_MIRROR)
    report(f"{inventory['swift']}, in {install_folder()}")
    if as_json:
        print_json({"folder": str(install_folder()), **inventory})
