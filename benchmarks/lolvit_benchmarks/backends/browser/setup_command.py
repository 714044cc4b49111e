"""`lolvit setup browser`."""

from __future__ import annotations

import click

from lolvit.errors import UserError
from lolvit.output import console, print_json


@click.command()
@click.option("--reinstall", is_flag=True, help="Download again what is already installed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def browser(reinstall: bool, as_json: bool) -> None:
    """Install what --device browser needs: onnxruntime-web and LiteRT.js, at pinned versions.

    Downloads 45 MB from npm's registry (or the one that npm_config_registry or npm's own
    configuration names) into your cache, where they take 70 MB; afterwards nothing is fetched.
    """
    from lolvit_benchmarks.backends.browser.install import (
        archive_bytes,
        install,
        place,
        registry,
        versions,
    )

    out, folder = console(), place()
    if reinstall or not _unchanged():
        source = registry()
        out.print(f"downloading {archive_bytes() / 1e6:.0f} MB from {source}")
        install(lambda line: out.print(f"  {line}"), source=source)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    out.print(f"installed in {folder}, {size / 1e6:.0f} MB")
    if as_json:
        print_json({"folder": str(folder), "bytes": size, "packages": versions()})


def _unchanged() -> bool:
    """Whether every file is there, with the digest that it was installed with."""
    from lolvit_benchmarks.backends.browser.install import installed

    try:
        installed()
    except UserError:
        return False
    return True
