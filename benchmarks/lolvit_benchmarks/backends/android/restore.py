"""Changes to a phone, and putting them back: also after Ctrl-C, a lost cable or a killed process.

What is about to be changed is written to a file of this computer first, and removed when it is put
back. A phone that was gone when a run ended is put back by the next run on it.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import BaseModel, ConfigDict, Field

from lolvit.documents import read_document
from lolvit.errors import DeviceError, UserError
from lolvit.files import write_atomic
from lolvit_benchmarks.backends.android.client import Adb
from lolvit_benchmarks.backends.android.contract import APP_FOLDER, PACKAGE

SHELL_FOLDER = "/data/local/tmp/lolvit-bench"
# Removed with all below it, thus none but these two, whatever a phone or a file says.
_Removable = Annotated[str, Field(pattern=rf"^({SHELL_FOLDER}|{APP_FOLDER})$")]
_STAY_ON = ("global", "stay_on_while_plugged_in")
_ALWAYS = "7"  # on any kind of power
_UNSET = "null"  # what `settings get` prints for it
_WAKE_UP, _SLEEP = "224", "223"  # KEYCODE_WAKEUP, KEYCODE_SLEEP


class Changes(BaseModel):
    """What a run changes: a setting's value before (None: left alone), whether the screen was off,
    folders that it made, and whether it started the app."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stay_on: str | None = Field(default=None, pattern=r"^(null|[0-9]{1,3})$")
    woken: bool = False
    folders: tuple[_Removable, ...] = ()
    app: bool = False


class Journal:
    """The changes to one phone that are not put back yet."""

    def __init__(self, serial: str) -> None:
        name = re.sub(r"[^A-Za-z0-9.-]", "_", serial)
        self.path = Path(platformdirs.user_state_dir("lolvit")) / "phones" / f"{name}.json"
        self.serial = serial

    def note(self, **changes: object) -> None:
        """Add to what is to be put back, before it is changed."""
        noted = Changes.model_validate(self.read().model_dump() | changes)
        write_atomic(self.path, noted.model_dump_json(indent=1) + "\n")

    def read(self) -> Changes:
        """Return what is to be put back.

        Raises:
            UserError: the file is damaged.
        """
        if not self.path.exists():
            return Changes()
        return read_document(
            self.path, Changes, kind="list of changes", remedy="look at the phone, then remove it"
        )

    def clear(self) -> None:
        """Everything is as it was."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs off the phone.

        Raises:
            UserError: another run measures on it.
        """
        lock = self.path.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    "another run measures on this phone",
                    where=f"adb:{self.serial}",
                    remedy="wait until it has ended",
                ) from error
            yield


def keep_awake(adb: Adb, journal: Journal, awake: bool | None) -> None:
    """Switch the screen on and keep it so: Android slows a phone down whose screen is off.

    Raises:
        DeviceError: the phone was lost or refused.
    """
    before = adb.shell(["settings", "get", *_STAY_ON]).output.strip()
    if not re.fullmatch(r"null|\d{1,3}", before):
        raise DeviceError(
            "doesn't tell its setting stay_on_while_plugged_in, which could not be put back",
            remedy="restart the phone",
        )
    if before != _ALWAYS:
        journal.note(stay_on=before)
        _do(adb, ["settings", "put", *_STAY_ON, _ALWAYS])
    if awake is False:
        journal.note(woken=True)
        _do(adb, ["input", "keyevent", _WAKE_UP])


def put_back(adb: Adb, journal: Journal) -> None:
    """Undo all that the journal holds, and clear it.

    Raises:
        DeviceError: the phone was lost or refused; the journal holds what is left to do.
    """
    changes = journal.read()
    if changes.app:
        _do(adb, ["am", "force-stop", PACKAGE])
    if SHELL_FOLDER in changes.folders:  # a program may still run; there is none most times
        adb.shell(["pkill", "-f", f"^{SHELL_FOLDER}/"])
    for folder in changes.folders:
        _do(adb, ["rm", "-rf", folder])
    if changes.stay_on == _UNSET:
        _do(adb, ["settings", "delete", *_STAY_ON])
    elif changes.stay_on is not None:
        _do(adb, ["settings", "put", *_STAY_ON, changes.stay_on])
    if changes.woken:
        _do(adb, ["input", "keyevent", _SLEEP])
    journal.clear()


def _do(adb: Adb, words: list[str]) -> None:
    done = adb.shell(words)
    if done.code != 0:
        said = (done.errors or done.output).strip() or f"exit code {done.code}"
        raise DeviceError(f"'{' '.join(words)}' failed: {said}")
