"""`lolvit setup arm64`."""

from __future__ import annotations

import click

from lolvit.output import console, print_json


@click.command()
@click.option("--mirror", metavar="URL", help="A Debian mirror. Default: Debian's own.")
@click.option("--reinstall", is_flag=True, help="Download again what is already installed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def arm64(mirror: str | None, reinstall: bool, as_json: bool) -> None:
    """Install what --device arm64 needs: Python and the runtimes, built for 64-bit Arm.

    Downloads about 73 MB (packages of Debian 12 by apt, wheels by pip, all checked) into your
    cache, where they take 212 MB; the system is not changed. Needs Debian or Ubuntu with
    qemu-user-static.
    """
    from lolvit.system.debian import PUBLIC_MIRROR
    from lolvit_runtimes.arm64_install import find_working_installation, install
    from lolvit_runtimes.arm64_parts import install_folder

    out = console()

    def report(line: str) -> None:
        out.print(line)

    inventory = None if reinstall else find_working_installation(report)
    if inventory is None:
        inventory = install(report, mirror or PUBLIC_MIRROR)
    report(f"installed in {install_folder()}, {inventory['bytes'] / 1e6:.0f} MB")
    if as_json:
        print_json({"folder": str(install_folder()), **inventory})
