"""A few of the kills of `make kills`, on a model of milliseconds."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.benchmarks.tiny import make_folder
from tests.kills import OPERATIONS, Killer

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
