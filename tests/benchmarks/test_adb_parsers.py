"""Parsers of what phones print: values where they are reported, else None, never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_benchmarks.backends.android import client, phone
from lolvit_benchmarks.backends.android.phone import Battery, Thermal

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 2
  level: 42
  scale: 50
  voltage: 4123
  temperature: 312
  technology: Li-ion
"""
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 1
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=99.0, mType=3, mName=old-skin, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=45.5, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=33.25, mType=3, mName=skin, mStatus=1}
	Temperature{mValue=30.0, mType=3, mName=skin2, mStatus=0}
Current cooling devices from HAL:
	Temperature{mValue=77.0, mType=3, mName=none, mStatus=0}
"""
GARBAGE = st.one_of(
    st.text(max_size=300), st.binary(max_size=300).map(lambda b: b.decode("latin1"))
)
PARSERS = [
    phone.parse_properties, phone.parse_battery, phone.parse_thermal,
    phone.parse_awake, client.parse_free_bytes, client.parse_digests,
    phone.parse_cores, phone.parse_files, lambda text: phone.highest_mhz([text]),
]  # fmt: skip


def _cut(text: str, start: int, length: int, instead: str) -> str:
    return text[:start] + instead + text[start + length :]


@given(GARBAGE)
def test_no_parser_raises_on_garbage(text: str) -> None:
    for parse in PARSERS:
        parse(text)


@given(
    st.sampled_from([BATTERY, THERMAL]),
    st.integers(0, 500),
    st.integers(0, 40),
    st.text(max_size=8),
)
def test_no_parser_raises_on_damaged_output(
    text: str, start: int, length: int, instead: str
) -> None:
    for parse in PARSERS:
        parse(_cut(text, start, length, instead))


@given(GARBAGE)
def test_implausible_values_are_none(text: str) -> None:
    battery = phone.parse_battery(f"  level: 5\n  temperature: {text}\n{text}")
    assert battery.temperature_c is None or -30 <= battery.temperature_c <= 120
    assert battery.percent is None or 0 <= battery.percent <= 100
    skin = phone.parse_thermal(text).skin_c
    assert skin is None or -30 <= skin <= 120


def test_a_battery_is_read_in_percent_and_degrees() -> None:
    assert phone.parse_battery(BATTERY) == Battery(84.0, 31.2, plugged=True)
    unplugged = BATTERY.replace("USB powered: true", "USB powered: false")
    assert phone.parse_battery(unplugged).plugged is False
    assert phone.parse_battery("") == Battery()


@pytest.mark.parametrize("tenths", ["9999", "-2147483648", "3 12", "warm", "99999999999999999999"])
def test_an_implausible_temperature_is_none(tenths: str) -> None:
    assert phone.parse_battery(f"  temperature: {tenths}\n").temperature_c is None


def test_the_current_skin_temperature_is_read() -> None:
    assert phone.parse_thermal(THERMAL) == Thermal(1, 33.25)
    assert phone.parse_thermal("Thermal Status: 77") == Thermal()


def test_properties_are_read_and_empty_ones_are_absent() -> None:
    text = "[ro.a]: [Pixel 8 [x]]\r\n[ro.b]: []\n[broken: [x]\n[ro.c]: [1]\n"
    assert phone.parse_properties(text) == {"ro.a": "Pixel 8 [x]", "ro.c": "1"}


def test_a_property_writes_nowhere_else_in_a_terminal() -> None:
    text = "[ro.product.model]: [Pixel\x1b[2J\x9b1A 8 é]\n"
    assert phone.parse_properties(text) == {"ro.product.model": r"Pixel\x1b[2J\x9b1A 8 é"}


def test_free_space_is_read_from_one_and_from_two_lines() -> None:
    one = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 100 40 60 40% /storage\n"
    two = one.replace("/dev/fuse ", "/dev/block/by-name/userdata\n   ")
    assert client.parse_free_bytes(one) == client.parse_free_bytes(two) == 60 * 1024
    assert client.parse_free_bytes("df: /x: No such file or directory") is None


def test_cores_and_their_files_are_read() -> None:
    assert phone.parse_cores("cpu0\ncpu10\ncpu2\ncpufreq\nonline\n") == [0, 2, 10]
    files = phone.parse_files("/sys/a:schedutil\n/sys/b:2800000\ngrep: /sys/c: denied\n")
    assert files == {"/sys/a": "schedutil", "/sys/b": "2800000"}
    assert phone.highest_mhz(["1800000", "2800000", "broken", "0"]) == 2800
    assert phone.highest_mhz(["0"]) is None


def test_digests_are_read_with_paths_that_hold_spaces() -> None:
    text = f"{'a' * 64}  /data/a b\n{'b' * 64} */data/c\nsha256sum: /x: No such file\n"
    assert client.parse_digests(text) == {"/data/a b": "a" * 64, "/data/c": "b" * 64}


def test_the_screen_is_on_off_or_not_reported() -> None:
    assert phone.parse_awake("  mWakefulness=Awake\n") is True
    assert phone.parse_awake("  mWakefulness=Dozing\n") is False
    assert phone.parse_awake("mWakefulness=Puzzled") is None
