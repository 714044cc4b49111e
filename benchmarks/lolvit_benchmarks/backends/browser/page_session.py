"""The browser, measured: a page that measures by itself is served, followed and listened to."""

from __future__ import annotations

import queue
import subprocess
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener
from lolvit_benchmarks.backends.browser import chromium
from lolvit_benchmarks.backends.browser import exchange as told
from lolvit_benchmarks.backends.browser.cases import DEVICE, prepared_cells, results_of
from lolvit_benchmarks.backends.browser.exchange import LOST_S, Exchange, Happening
from lolvit_benchmarks.backends.browser.headless import wants_headless
from lolvit_benchmarks.backends.browser.invitation import invite
from lolvit_benchmarks.backends.browser.server import Address, Site, lan_address, serving
from lolvit_benchmarks.backends.browser.site import Models, job_files, page_files, runtime_files
from lolvit_benchmarks.backends.registry import DeviceOptions
from lolvit_benchmarks.harness.candidates import failure_of

_LOOK_S = 0.5  # how often the page and the browser are looked after
_JOIN_S = 120.0  # for a Chromium that we start: WASM of 26 MB compiles on a busy machine


class Browser:
    """Whatever browser opens the page."""

    id = "browser"

    def __init__(self, options: DeviceOptions) -> None:
        self._options = options

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`; the page measures all settings in one visit."""
        _refuse(job)
        cells, failures = prepared_cells(job, listener.say)
        keeper.keep(failures=failures)
        if not cells:
            return
        models = Models((name, prepared) for group in job.groups for name, prepared in group)
        files = page_files() | runtime_files() | models.files()
        files |= job_files(models, cells, job.profile, job.photo.image)
        exchange = Exchange(cells, job.profile)
        with (
            serving(Site(files, exchange.answer), _address(self._options)) as url,
            self._opened(url, listener) as process,
        ):
            _follow(exchange, process, keeper, listener)

    @contextmanager
    def _opened(self, url: str, listener: Listener) -> Iterator[subprocess.Popen[bytes] | None]:
        headless = wants_headless(self._options)
        if headless:
            listener.say("measuring in Chromium without a window")
        else:
            invite(url, listener.say, code=self._options.lan)
            if self._options.open_page:
                webbrowser.open(url)
        with chromium.opened(f"{url}?go") if headless else nullcontext() as process:
            yield process


def _address(options: DeviceOptions) -> Address:
    host = lan_address() if options.lan else "127.0.0.1"
    return Address(host, options.port, options.certificate)


def _refuse(job: Job) -> None:
    for asked, option in ((job.sustain_s, "--sustain"), (job.profile_ops, "--profile-ops")):
        if asked:
            raise UserError(f"a browser can't do {option}", remedy="leave it out, or the browser")


def _follow(
    exchange: Exchange,
    process: subprocess.Popen[bytes] | None,
    keeper: Keeper,
    listener: Listener,
) -> None:
    """Hand on what the page finds until it has measured all.

    Raises:
        DeviceError: the browser is gone; what it had measured was handed on.
        KeyboardInterrupt: likewise.
    """
    waited = 0.0
    try:
        while not (exchange.done and exchange.happened.empty()):
            try:
                _tell(exchange, exchange.happened.get(timeout=_LOOK_S), keeper, listener)
            except queue.Empty:
                waited += _LOOK_S
                _look_after(exchange, process, waited)
    except BaseException:
        exchange.close()
        _keep_rest(exchange, keeper, listener)
        raise
    finally:
        exchange.close()


def _tell(exchange: Exchange, happening: Happening, keeper: Keeper, listener: Listener) -> None:
    if isinstance(happening, told.Joined):
        again = "again, in another page: " if happening.again else ""
        listener.say(f"measuring {again}{happening.about.name}, {happening.about.cores} cores")
    elif isinstance(happening, told.Started):
        setting = exchange.cells[happening.cell].setting
        listener.say(f"{setting.runtime} {setting.precision}, threads: {setting.threads}")
    elif isinstance(happening, told.Progressed):
        listener.progress(happening.done, happening.planned)
    elif isinstance(happening, told.Left):
        listener.say("the page was closed; open it again to go on, or press Ctrl-C")
    elif isinstance(happening, told.Ended):
        _keep(exchange, happening.cell, keeper)
        if happening.why is not None:
            setting = exchange.cells[happening.cell].setting
            listener.say(f"{setting.runtime} gave no result: {happening.why}")
            keeper.keep(failures=[failure_of(setting, DEVICE, DeviceError(happening.why))])


def _keep_rest(exchange: Exchange, keeper: Keeper, listener: Listener) -> None:
    """Hand on what has come since the last look, and the blocks of the cell that was measured."""
    while not exchange.happened.empty():
        _tell(exchange, exchange.happened.get(), keeper, listener)
    _keep(exchange, exchange.position, keeper)


def _keep(exchange: Exchange, number: int, keeper: Keeper) -> None:
    if number < len(exchange.cells):
        keeper.keep(results=results_of(exchange.cells[number], exchange.about))


def _look_after(exchange: Exchange, process: subprocess.Popen[bytes] | None, waited: float) -> None:
    if process is not None and process.poll() is not None:
        raise DeviceError(f"Chromium ended with exit code {process.returncode}")
    if process is not None and exchange.about is None and waited > _JOIN_S:
        raise DeviceError(f"Chromium has not opened the page in {_JOIN_S:.0f} s")
    if exchange.silent_s() > LOST_S:
        raise DeviceError(f"nothing was heard of the page for {LOST_S:.0f} s")
