"""`lolvit browse`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.output import console, print_json

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.browser.server import Site

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folders", type=_PATH, nargs=-1, required=True)
@click.option(
    "--lan", is_flag=True, help="Make the page available to other machines on this network."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in this machine's browser.")
@click.option("--port", type=click.IntRange(0, 65535), default=0,
              help="Port of the page's server. Default: any free port.")  # fmt: skip
@click.option("--certificate", type=_PATH,
              help="A PEM file with certificate and key, for https.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True,
              help="One JSON document with the page's address on standard output.")  # fmt: skip
def browse(
    folders: tuple[Path, ...],
    lan: bool,
    open_page: bool,
    port: int,
    certificate: Path | None,
    as_json: bool,
) -> None:
    """Serve a page that runs the artifacts of export FOLDERS in a browser, on photos or the camera.

    Runs until Ctrl-C. Photos do not leave the browser. On other machines (--lan), browsers allow
    the camera, threads and WebGPU over https alone, which needs --certificate.
    """
    import webbrowser

    from lolvit_benchmarks.backends.browser.chromium import invite
    from lolvit_benchmarks.backends.browser.server import Address, lan_address, serving

    address = Address(lan_address() if lan else "127.0.0.1", port, certificate)
    out = console()
    with serving(_site(folders), address) as url:
        invite(url, lambda line: out.print(line, soft_wrap=True), code=lan)
        if as_json:
            print_json({"url": url, "models": len(folders)})
        if open_page:
            webbrowser.open(url)
        while True:
            time.sleep(3600)


def _site(folders: tuple[Path, ...]) -> Site:
    from lolvit_benchmarks.backends.browser.exchange import no_measurement
    from lolvit_benchmarks.backends.browser.server import Site
    from lolvit_benchmarks.backends.browser.site import (
        ServedModels,
        job_files,
        page_files,
        require_artifacts,
        runtime_files,
    )
    from lolvit_benchmarks.harness.prepare import open_folder

    prepared = [open_folder(folder) for folder in folders]
    for one in prepared:
        require_artifacts(one)
    models = ServedModels((one.manifest.model, one) for one in prepared)
    files = page_files() | runtime_files() | models.files() | job_files(models, [], None, None)
    return Site(files, no_measurement)
