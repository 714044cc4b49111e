"""`lolvit bench --device adb:SERIAL` with the real adb client and the app's own entry point, on a
simulated phone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from android_build.project import ANDROID, Build
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks.adb_daemon.fixtures import Attach, adb_server, assert_as_before, attach
from tests.benchmarks.adb_daemon.jvm_app import JvmApp
from tests.benchmarks.tiny import make_folder
from tests.conftest import Run

__all__ = ["adb_server", "attach"]

SERVER = "org/lolvit/demo/benchmark/HarnessServer.class"
REPOSITORY = Path.home() / ".m2" / "repository"


@pytest.fixture
def build() -> Build:
    """The compiled app: this test runs it, and compiles nothing."""
    directory = Path(os.environ.get("LOLVIT_ANDROID_BUILD", ANDROID / "target"))
    if not (directory / "test-classes" / SERVER).is_file():
        pytest.skip("the app is not compiled here; run: make android-test")
    return Build(directory, REPOSITORY)


@pytest.mark.slow
def test_the_harness_measures_by_the_apps_own_entry_point(
    build: Build, attach: Attach, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach()
    models = [
        make_folder(tmp_path / "fast", "fast"),
        make_folder(tmp_path / "slow", "slow", layers=5, width=48),
    ]
    command = build.maven("-o", "surefire:test", "-Dtest=HarnessServer")
    with JvmApp(command, phone, tmp_path / "jvm.log"):
        done = run_lolvit(
            *("bench", models[0], "--against", models[1], "--device", f"adb:{serial}"),
            *("--runtime", "ort", "--profile", "quick", "--out", tmp_path / "out"),
        )
    assert done.returncode == 0, done.stderr
    (result,) = read_result(tmp_path / "out" / "result.json").results
    assert result.runtime_version == "1.29.0"
    assert result.speedup.ratio > 1
    assert len(result.candidate.samples) == len(result.baseline.samples) >= 30
    assert result.device_info is not None
    details = result.device_info.details
    assert details["app"] == "0.1.0"
    assert float(details["SNR of fast"].removesuffix(" dB")) > 90
    assert_as_before(phone)
