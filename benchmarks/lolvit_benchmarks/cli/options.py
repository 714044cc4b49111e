"""Options of `lolvit bench` that belong to single devices, and options that were renamed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from lolvit_benchmarks.backends.registry import DeviceOptions


class RenamedOption(click.Option):
    """An option that is also accepted under its earlier names, which --help does not list."""

    def __init__(self, *arguments: Any, earlier: Sequence[str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._earlier = earlier

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Add the option to click's parser under all its names."""
        listed = self.opts
        self.opts = [*listed, *self._earlier]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = listed


_OPTIONS: tuple[Callable[..., Any], ...] = (
    # browser
    click.option("--lan", is_flag=True,
                 help="browser: let other machines of this network open the page."),
    click.option("--headless/--window", default=None,
                 help="browser: start a Chromium without a window, or wait until you open the page "
                      "in a browser. Default: headless where there is no display."),
    click.option("--open", "open_page", is_flag=True,
                 help="browser: open the page in this machine's browser."),
    click.option("--port", type=click.IntRange(0, 65535), default=0,
                 help="browser: the port of the page's server. Default: any free port."),
    click.option("--certificate", type=click.Path(path_type=Path),
                 help="browser: a PEM file with certificate and key, for https."),
    # adb
    click.option("--max-temperature", type=click.FloatRange(0, 100), default=37.0, metavar="C",
                 show_default=True,
                 help="adb: the highest temperature at which a phone is measured, in degrees "
                      "Celsius; a warmer one has to cool down first."),
    click.option("--cool-down-timeout", "cool_down_limit", cls=RenamedOption,
                 earlier=["--cool-down-limit"], type=click.FloatRange(0), default=600.0,
                 metavar="SECONDS", show_default=True,
                 help="adb: how long to wait for a phone to cool down; 0: not at all."),
    click.option("--binary", type=click.Path(path_type=Path), metavar="FILE",
                 help="adb: measure with this program, built for the phone, instead of the app."),
    click.option("--binary-args", metavar="TEMPLATE",
                 help="adb: its arguments, with {artifact}, {threads}, {runs}, {warmup}."),
    click.option("--binary-output", metavar="FORMAT",
                 help="adb: how to read its output: the name of a known program, "
                      "regex:UNIT:PATTERN, or json:UNIT:KEY.KEY."),
)  # fmt: skip


def device_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of all devices to a command, which gets them as `device_options`."""

    @functools.wraps(command)
    def gather(**arguments: Any) -> None:
        names = [field.name for field in fields(DeviceOptions) if field.name != "folder"]
        own = {name: arguments.pop(name) for name in names}
        options = DeviceOptions(folder=arguments["out"], **own)
        command(**arguments, device_options=options)

    for option in reversed(_OPTIONS):
        gather = option(gather)
    return gather
