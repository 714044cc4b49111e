"""The options of single devices, gathered into one object: `bench` hands them on unread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class DeviceOptions:
    """What a user asked of devices; a field is an option's name and default, but for `folder`:
    where the run's files go."""

    folder: Path = Path("bench-results")

    # browser
    lan: bool = False
    headless: bool | None = None
    open_page: bool = False
    port: int = 0
    certificate: Path | None = None
    # adb
    max_temperature: float = 37.0
    cool_down_limit: float = 600.0
    binary: Path | None = None
    binary_args: str | None = None
    binary_output: str | None = None


_OPTIONS: tuple[Callable[..., Any], ...] = (
    # browser
    click.option("--lan", is_flag=True,
                 help="browser: let other machines of this network open the page."),
    click.option("--headless/--window", default=None,
                 help="browser: start a Chromium without a window, or wait for a browser of yours. "
                      "By default the former where nobody could see one."),
    click.option("--open", "open_page", is_flag=True, help="browser: open the page here."),
    click.option("--port", type=click.IntRange(0, 65535), default=0,
                 help="browser: where to listen; by default any port that is free."),
    click.option("--certificate", type=click.Path(path_type=Path),
                 help="browser: a PEM file with certificate and key, for https."),
    # adb
    click.option("--max-temperature", type=click.FloatRange(0, 100), default=37.0, metavar="C",
                 help="adb: measure on no phone that is hotter, in degrees Celsius; 37."),
    click.option("--cool-down-limit", type=click.FloatRange(0), default=600.0, metavar="SECONDS",
                 help="adb: how long to wait for one to cool down; 600, and 0 refuses at once."),
    click.option("--binary", type=click.Path(path_type=Path), metavar="FILE",
                 help="adb: measure by a program built for the phone, not by the app."),
    click.option("--binary-args", metavar="TEMPLATE",
                 help="adb: its arguments, with {artifact}, {threads}, {runs}, {warmup}."),
    click.option("--binary-output", metavar="HOW",
                 help="adb: a program whose output is known, regex:UNIT:PATTERN, or "
                      "json:UNIT:KEY.KEY."),
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
