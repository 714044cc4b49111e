"""A phone is restored, by this run or by the next one."""

from __future__ import annotations

import pytest

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android.client import Adb
from lolvit_benchmarks.backends.android.restore import (
    SHELL_FOLDER,
    Journal,
    keep_awake,
    restore_changes,
)
from tests.benchmarks.adb_daemon.fixtures import Attach, assert_as_before

SETTING = "global/stay_on_while_plugged_in"


@pytest.mark.parametrize("before", [None, "0", "3", "7"])
@pytest.mark.parametrize("awake", [True, False])
def test_setting_and_screen_are_as_before(
    attach: Attach, adb_server: str, before: str | None, awake: bool
) -> None:
    phone, serial = attach()
    phone.awake = awake
    if before is not None:
        phone.settings[SETTING] = before
    settings = dict(phone.settings)
    adb, journal = Adb(serial, adb_server), Journal(serial)
    keep_awake(adb, journal, awake)
    assert phone.settings[SETTING] == "7"
    assert phone.awake
    restore_changes(adb, journal)
    assert phone.settings == settings
    assert phone.awake == awake
    assert not journal.path.exists()


def test_what_a_killed_run_changed_is_restored_by_the_next(attach: Attach, adb_server: str) -> None:
    phone, serial = attach()
    adb = Adb(serial, adb_server)
    keep_awake(adb, Journal(serial), awake=False)
    Journal(serial).record(folders=(SHELL_FOLDER,))
    phone.path(SHELL_FOLDER).mkdir(parents=True)
    restore_changes(adb, Journal(serial))
    assert_as_before(phone)


def test_what_is_not_restored_stays_in_the_journal(attach: Attach, adb_server: str) -> None:
    phone, serial = attach()
    adb, journal = Adb(serial, adb_server), Journal(serial)
    keep_awake(adb, journal, awake=False)
    phone.cut_cable(for_good=True)
    with pytest.raises(DeviceError):
        restore_changes(adb, journal)
    assert journal.read().stay_on == "null"
    assert journal.read().woken


def test_a_setting_that_cannot_be_read_is_not_changed(attach: Attach, adb_server: str) -> None:
    phone, serial = attach(mute=frozenset({"settings"}))
    with pytest.raises(DeviceError, match="stay_on_while_plugged_in"):
        keep_awake(Adb(serial, adb_server), Journal(serial), awake=False)
    assert not phone.awake


def test_a_damaged_journal_is_a_user_error_that_names_the_field(attach: Attach) -> None:
    _, serial = attach()
    journal = Journal(serial)
    journal.record(woken=True)
    journal.path.write_text('{"folders": ["/sdcard"]}')
    with pytest.raises(UserError, match="folders"):
        journal.read()


def test_a_phone_that_another_run_measures_on_is_rejected(attach: Attach) -> None:
    _, serial = attach()
    with Journal(serial).locked(), pytest.raises(UserError, match="another run"):
        Journal(serial).locked().__enter__()
