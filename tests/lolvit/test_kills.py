"""A few of the kills of `make kills`, on a model of milliseconds."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.tiny import make_folder
from tests.kills import OPERATIONS, Killer, Log, shares, table

PACKAGE = next(each for each in OPERATIONS if each.name == "package")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_packaging_loses_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    make_folder(tmp_path / "out" / "lolvit_xx-64x64")
    (tmp_path / "app/src/main").mkdir(parents=True)
    (tmp_path / "app/build.gradle.kts").touch()
    killer = Killer(PACKAGE, tmp_path)
    seconds = killer.run()
    for number, share in ((signal.SIGKILL, 0.6), (signal.SIGTERM, 0.8), (signal.SIGKILL, 0.9)):
        killer.kill(number, share * seconds)
    killer.run()
    assert killer.outcome.faults == []


def test_a_result_that_is_not_whole_is_found(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "out" / "lolvit_xx-64x64")
    killer = Killer(OPERATIONS[0], tmp_path)
    killer._check("now")
    assert killer.outcome.faults == []
    (folder / "model-fp32.onnx").write_bytes(b"half")
    killer._check("now")
    (fault,) = killer.outcome.faults
    assert "model-fp32.onnx" in fault


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_does_not_inherit_ignored_signals(tmp_path: Path) -> None:
    """As a background job of a shell would: SIGINT would then be sent in vain."""
    version = replace(PACKAGE, arguments=lambda folder: ["--version"])
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = Killer(version, tmp_path)._start("mark")
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert process.wait() == 0
    finally:
        signal.signal(signal.SIGINT, former)
    (ignored,) = (int(x.split()[1], 16) for x in status.splitlines() if x.startswith("SigIgn"))
    assert not ignored >> (signal.SIGINT - 1) & 1


def test_kills_are_counted_on_from_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.add("train", "run")
    log.add("train", "kill", signal="SIGINT")
    log.add("train", "fault", text="lost")
    log.add("bench", "ended")
    again = Log(tmp_path / "log")
    assert again.outcomes == log.outcomes
    assert again.outcomes["train"].faults == ["lost"]
    assert "| train | 1 | 0 | 0 | 1 | 1 | 0 | 1 |" in table(again)


def test_kills_are_shared_out_to_the_last() -> None:
    counts = shares(OPERATIONS, 200)
    assert sum(counts.values()) == 200 and min(counts.values()) > 0
