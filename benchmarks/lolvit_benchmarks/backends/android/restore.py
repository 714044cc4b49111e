"""Changes to a phone and their restoration, also after Ctrl-C, a lost cable or a killed process.

A journal on this computer records each change before it is made, and is removed when all are
restored. A phone that is disconnected when a run ends is restored by the next run on it.
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
# Removed recursively, so the pattern admits these two alone, whatever a phone or a file contains.
_OwnFolder = Annotated[str, Field(pattern=rf"^({SHELL_FOLDER}|{APP_FOLDER})$")]
_STAY_ON = ("global", "stay_on_while_plugged_in")
_STAY_ON_ALWAYS = "7"  # on any power source
_UNSET = "null"  # as `settings get` prints it
_WAKE_UP, _SLEEP = "224", "223"  # KEYCODE_WAKEUP, KEYCODE_SLEEP


class Changes(BaseModel):
    """What a run changes: the former value of stay_on_while_plugged_in (None: unchanged),
    whether it switched the screen on, folders that it made, and whether it started the app."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stay_on: str | None = Field(default=None, pattern=r"^(null|[0-9]{1,3})$")
    woken: bool = False
    folders: tuple[_OwnFolder, ...] = ()
    app: bool = False


class Journal:
    """The changes to one phone that are not restored yet."""

    def __init__(self, serial: str) -> None:
        name = re.sub(r"[^A-Za-z0-9.-]", "_", serial)
        self.path = Path(platformdirs.user_state_dir("lolvit")) / "phones" / f"{name}.json"
        self.serial = serial

    def record(self, **changes: object) -> None:
        """Add changes that are about to be made."""
        recorded = Changes.model_validate(self.read().model_dump() | changes)
        write_atomic(self.path, recorded.model_dump_json(indent=1) + "\n")

    def read(self) -> Changes:
        """Return the changes that are to be restored.

        Raises:
            UserError: the file is damaged.
        """
        if not self.path.exists():
            return Changes()
        return read_document(
            self.path,
            Changes,
            kind="list of changes",
            remedy="check the phone's settings, then remove the file",
        )

    def clear(self) -> None:
        """Remove the journal: everything is restored."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other runs from the phone.

        Raises:
            UserError: another run is measuring on it.
        """
        lock = self.path.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    "another run is measuring on this phone",
                    where=f"adb:{self.serial}",
                    remedy="wait until it ends",
                ) from error
            yield


def keep_awake(adb: Adb, journal: Journal, awake: bool | None) -> None:
    """Switch the screen on and keep it on: Android throttles a phone whose screen is off.

    Raises:
        DeviceError: the connection was lost, or a command failed.
    """
    before = adb.shell(["settings", "get", *_STAY_ON]).output.strip()
    if not re.fullmatch(r"null|\d{1,3}", before):
        raise DeviceError(
            "the setting stay_on_while_plugged_in can't be read, so it could not be restored",
            remedy="restart the phone",
        )
    if before != _STAY_ON_ALWAYS:
        journal.record(stay_on=before)
        _run_checked(adb, ["settings", "put", *_STAY_ON, _STAY_ON_ALWAYS])
    if awake is False:
        journal.record(woken=True)
        _run_checked(adb, ["input", "keyevent", _WAKE_UP])


def restore_changes(adb: Adb, journal: Journal) -> None:
    """Undo all changes of the journal, and clear it.

    Raises:
        DeviceError: the connection was lost, or a command failed; the journal is kept.
    """
    changes = journal.read()
    if changes.app:
        _run_checked(adb, ["am", "force-stop", PACKAGE])
    if SHELL_FOLDER in changes.folders:  # a program may still be running; usually there is none
        adb.shell(["pkill", "-f", f"^{SHELL_FOLDER}/"])
    for folder in changes.folders:
        _run_checked(adb, ["rm", "-rf", folder])
    if changes.stay_on == _UNSET:
        _run_checked(adb, ["settings", "delete", *_STAY_ON])
    elif changes.stay_on is not None:
        _run_checked(adb, ["settings", "put", *_STAY_ON, changes.stay_on])
    if changes.woken:
        _run_checked(adb, ["input", "keyevent", _SLEEP])
    journal.clear()


def _run_checked(adb: Adb, words: list[str]) -> None:
    result = adb.shell(words)
    if result.code != 0:
        message = (result.errors or result.output).strip() or f"exit code {result.code}"
        raise DeviceError(f"'{' '.join(words)}' failed: {message}")
