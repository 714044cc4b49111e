"""Attached phones are listed with what they report, and with the reason why one is not ready."""

from __future__ import annotations

import pytest

from lolvit_benchmarks.backends.android.backend import list_devices
from lolvit_benchmarks.backends.registry import choose_devices
from tests.benchmarks.adb_daemon.fixtures import Attach


def test_a_phone_is_listed_with_what_it_reports(attach: Attach) -> None:
    _, serial = attach()
    (status,) = list_devices()
    assert (status.id, status.kind, status.ready) == (f"adb:{serial}", "phone", True)
    assert status.reason == "Test Phone 1, Android 14, 29.5 °C, with the app"
    assert "temperature" in status.reports
    assert "energy" in status.not_reported


def test_listing_changes_nothing_on_a_phone(attach: Attach) -> None:
    phone, _ = attach()
    before = dict(phone.settings)
    list_devices()
    assert (phone.settings, phone.awake, phone.pushed) == (before, False, [])


def test_a_phone_without_the_app_can_run_programs_only(attach: Attach) -> None:
    phone, _ = attach()
    phone.installed = False
    (status,) = list_devices()
    assert status.ready
    assert "--binary only" in status.reason


def test_a_phone_that_prints_garbage_is_not_ready(attach: Attach) -> None:
    attach(mute=frozenset({"getprop"}))
    (status,) = list_devices()
    assert not status.ready
    assert "getprop" in status.reason


def test_a_phone_that_is_too_old_is_not_ready(attach: Attach) -> None:
    phone, _ = attach()
    phone.properties["ro.build.version.sdk"] = "23"
    (status,) = list_devices()
    assert not status.ready
    assert "API level 23" in status.reason


def test_a_phone_that_was_lost_is_not_ready(attach: Attach) -> None:
    phone, _ = attach()
    phone.cut_cable(for_good=True)
    assert not any(status.ready for status in list_devices())


def test_without_a_phone_the_reason_names_the_remedy(adb_server: str) -> None:
    (status,) = list_devices()
    assert not status.ready
    assert "USB debugging" in status.reason


def test_without_adb_the_reason_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (status,) = list_devices()
    assert not status.ready
    assert "apt install adb" in status.reason


def test_several_phones_are_one_device_however_they_are_written() -> None:
    for text in ("adb:A,adb:B", "adb:A,B", "adb:A,B,adb:A"):
        (chosen,) = choose_devices(text, None)
        assert set(chosen.argument.split(",")) == {"A", "B"}  # type: ignore[union-attr]
        assert chosen.runtimes == ("litert",)
