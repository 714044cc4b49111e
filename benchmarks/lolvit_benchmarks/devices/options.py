"""The options of single devices, gathered into one object: `bench` hands them on unread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class DeviceOptions:
    """What a user asked of devices; a field is an option's name and default."""


_OPTIONS: tuple[Callable[..., Any], ...] = ()


def device_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of all devices to a command, which gets them as `device_options`."""

    @functools.wraps(command)
    def gather(**arguments: Any) -> None:
        own = {field.name: arguments.pop(field.name) for field in fields(DeviceOptions)}
        command(**arguments, device_options=DeviceOptions(**own))

    for option in reversed(_OPTIONS):
        gather = option(gather)
    return gather
