"""The page's tab on which a model is tried: what it serves, and what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lolvit_benchmarks.backends.browser.exchange import no_measurement
from lolvit_benchmarks.backends.browser.server import Address, Site, serving
from lolvit_benchmarks.backends.browser.site import (
    ServedModels,
    job_files,
    page_files,
    runtime_files,
)
from lolvit_benchmarks.harness.prepare import default_photo, open_folder
from tests.benchmarks.chromium_page import Browser, Page

CHOOSE_PHOTO = """(async () => {
  const input = document.getElementById("photo");
  const chosen = new DataTransfer();
  chosen.items.add(new File([await (await fetch("photo.png")).blob()], "photo.png"));
  input.files = chosen.files;
  input.dispatchEvent(new Event("change"));
})()"""
FOUND = "!document.getElementById('found-place').hidden"
ROWS = """[...document.querySelectorAll('#found tr')].map(
  (row) => [...row.cells].map((cell) => cell.innerText.trim()))"""
STATUS = "document.getElementById('predict-status').textContent"

Files = dict[str, Path | bytes]


def files_of(folder: Path) -> Files:
    """Return the files of a page with one model, and a photo beside it."""
    models = ServedModels([("tiny", open_folder(folder))])
    files = page_files() | runtime_files() | models.files() | job_files(models, [], None, None)
    return files | {"photo.png": default_photo()}


@contextmanager
def opened(browser: Browser, files: Files) -> Iterator[Page]:
    """Open the page while the block runs."""
    with serving(Site(files, no_measurement), Address()) as url, browser.page() as page:
        page.open(url)
        yield page


def choose_photo(page: Page, runtime: str = "") -> str:
    """Choose the photo, in a runtime; return what the page says once it is done."""
    if runtime:
        page.evaluate(f"document.getElementById('runtime').value = '{runtime}'")
    page.evaluate(CHOOSE_PHOTO)
    page.until(f"!/^(Choose|Loading)/.test({STATUS})")
    return str(page.evaluate(STATUS))
