"""`lolvit arm64-setup`."""

from __future__ import annotations

import click

from lolvit.output import console, print_json


@click.command()
@click.option("--mirror", metavar="URL", help="A Debian mirror. Default: Debian's own.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def arm64_setup(mirror: str | None, as_json: bool) -> None:
    """Install what --device arm64 needs: Python and the runtimes, built for 64-bit Arm.

    Downloads about 70 MB (packages of Debian 12 by apt, wheels by pip, all checked) into your
    cache, where they take 200 MB; nothing of the system is changed. Needs Debian or Ubuntu with
    qemu-user-static.
    """
    from lolvit_runtimes.arm64_install import PUBLIC_MIRROR, install
    from lolvit_runtimes.arm64_parts import place

    out = console()
    inventory = install(lambda line: out.print(line, markup=False), mirror or PUBLIC_MIRROR)
    out.print(f"installed in {place()}, {inventory['bytes'] / 1e6:.0f} MB", markup=False)
    if as_json:
        print_json({"folder": str(place()), **inventory})
