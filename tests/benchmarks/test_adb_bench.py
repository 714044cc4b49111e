"""`lolvit bench --device adb:SERIAL` with the real adb client and simulated phones that really
run the artifacts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lolvit_benchmarks.results.document import Document, Result
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks.adb_daemon.fixtures import (
    Attach,
    assert_as_before,
    attaching,
    environment,
)
from tests.benchmarks.adb_daemon.phone import Faults, Phone
from tests.conftest import Run

# Prints what TensorFlow Lite's benchmark_model does. Its runs go through the artifact's bytes: what
# is tested is how a program is pushed, called and read.
PROGRAM = """#!/usr/bin/env python3
import sys, time, zlib
given = dict(word.lstrip("-").split("=") for word in sys.argv[1:])
content = open(given["graph"], "rb").read()
times = []
for _ in range(int(given["num_runs"])):
    start = time.perf_counter()
    zlib.crc32(content * 50)
    times.append((time.perf_counter() - start) * 1e6)
print(f"Inference timings in us: Init: 12, First inference: {times[0]:.3f}, Warmup (avg): 1, "
      f"Inference (avg): {sum(times) / len(times):.3f}")
"""
Models = tuple[Path, Path]


@pytest.fixture
def models(fast: Path, slow: Path) -> Models:
    return fast, slow


def _arguments(models: Models, out: Path, *serials: str) -> list[str]:
    devices = ",".join(f"adb:{serial}" for serial in serials)
    return ["bench", str(models[0]), "--against", str(models[1]), "--device", devices, "--runtime",
            "ort", "--profile", "quick", "--out", str(out), "--cool-down-timeout", "0"]  # fmt: skip


def _line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed command ends with."""
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lolvit: ")]
    return line


def _only(document: Document) -> Result:
    (found,) = document.results
    return found


def test_the_model_is_pushed_run_and_its_result_pulled(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach()
    done = run_lolvit(*_arguments(models, tmp_path / "out", serial), "--json")
    assert done.returncode == 0, done.stderr
    found = _only(Document.model_validate(
        {k: v for k, v in json.loads(done.stdout).items() if k != "path"}
    ))  # fmt: skip
    assert found.device == f"adb:{serial}"
    assert found.speedup.ratio > 1
    assert len(found.candidate.samples) == len(found.baseline.samples) >= 30
    assert set(found.candidate.sample_block) == {0, 1, 2, 3}
    assert found.device_info is not None
    details = found.device_info.details
    assert (found.device_info.name, details["Android"], details["SoC"]) == (
        "Test Phone 1", "14", "TS1",
    )  # fmt: skip
    assert details["governor before"] == "schedutil"
    assert float(details["SNR of fast"].removesuffix(" dB")) > 90
    assert {reading.temperature_c for reading in found.readings} == {29.5}
    assert found.candidate.load_ms is not None
    assert found.candidate.preprocess_ms is None
    assert not (tmp_path / "out" / "parts").exists()
    assert_as_before(phone)


@dataclass(frozen=True)
class Interrupted:
    """A run whose cable was lost in its third block; tests go on in copies of its folder."""

    phone: Phone
    serial: str
    folder: Path
    env: dict[str, str]
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def interrupted(
    adb_server: str, fast: Path, slow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Interrupted]:
    folder = tmp_path_factory.mktemp("interrupted")
    env = os.environ | environment(folder)
    with attaching(adb_server, folder) as new:
        phone, serial = new(lose_at=4)  # calibration, two blocks, and in the third
        command = [
            sys.executable,
            "-m",
            "lolvit",
            *_arguments((fast, slow), folder / "out", serial),
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        assert_as_before(phone)
        yield Interrupted(phone, serial, folder / "out", env, done)


@pytest.mark.slow
def test_a_lost_cable_is_one_line_and_the_same_command_resumes(
    interrupted: Interrupted, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    assert interrupted.done.returncode == 3
    assert "the phone was lost" in _line(interrupted.done)
    partial = _only(read_result(interrupted.folder / "result.json"))
    assert "interrupted" in {reason.code for reason in partial.quality.reasons}

    phone, out = interrupted.phone, tmp_path / "out"
    phone.faults, phone.runs = Faults(), 0
    shutil.copytree(interrupted.folder, out)
    again = run_lolvit(*_arguments(models, out, interrupted.serial), env=interrupted.env)
    assert again.returncode == 0, again.stderr
    assert "resuming after 2 of 4 blocks of an earlier run" in again.stderr
    assert phone.runs == 2
    whole = _only(read_result(out / "result.json"))
    runs = len(partial.candidate.samples)
    assert whole.candidate.samples[:runs] == partial.candidate.samples
    assert len(whole.candidate.samples) == 2 * runs
    assert_as_before(phone)


@pytest.mark.slow
def test_a_changed_artifact_is_measured_from_the_start(
    interrupted: Interrupted, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, out = interrupted.phone, tmp_path / "out"
    phone.faults, phone.runs = Faults(lose_at=1), 0
    shutil.copytree(interrupted.folder, out)
    (part,) = (out / "parts").iterdir()
    swapped = _arguments((models[1], models[0]), out, interrupted.serial)
    done = run_lolvit(*swapped, env=interrupted.env)
    assert done.returncode == 3
    assert "of an earlier run" not in done.stderr
    assert part.exists()


def test_garbage_is_one_line_and_the_phone_is_restored(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach(garbage=True)
    done = run_lolvit(*_arguments(models, tmp_path, serial))
    assert done.returncode == 3
    assert "the app's answer is invalid: its recording is not JSON" in _line(done)
    assert_as_before(phone)


def test_overheating_is_one_line_and_a_reason_in_the_result(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach(hot_after=3)
    done = run_lolvit(*_arguments(models, tmp_path, serial))
    assert done.returncode == 3
    assert "the phone is at 48 °C, above the limit of 37 °C" in _line(done)
    quality = _only(read_result(tmp_path / "result.json")).quality
    assert "interrupted" in {reason.code for reason in quality.reasons}
    assert {"temperature", "thermal"} <= {finding.code for finding in quality.findings}
    assert_as_before(phone)


def test_a_full_storage_is_a_user_error_and_the_phone_is_restored(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach(free_kb=10)
    done = run_lolvit(*_arguments(models, tmp_path, serial))
    assert done.returncode == 2
    assert f"adb:{serial}: the phone's storage is full" in _line(done)
    assert phone.pushed == []
    assert_as_before(phone)


def test_two_phones_are_measured_at_once_and_one_that_fails_does_not_end_the_other(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    good, first = attach("good")
    bad, second = attach("bad", free_kb=10)
    done = run_lolvit(*_arguments(models, tmp_path, first, second))
    assert done.returncode == 3
    assert f"adb:{second} gave no result: the phone's storage is full" in _line(done)
    assert _only(read_result(tmp_path / "result.json")).device == f"adb:{first}"
    assert_as_before(good)
    assert_as_before(bad)


def test_ctrl_c_restores_the_phone_and_keeps_finished_blocks(
    attach: Attach, models: Models, tmp_path: Path
) -> None:
    phone, serial = attach()
    process = subprocess.Popen(
        [sys.executable, "-m", "lolvit", *_arguments(models, tmp_path, serial)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        # A shell's background jobs, tests among them, hand an ignored SIGINT down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while phone.runs < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert read_result(tmp_path / "result.json").state == "interrupted"
    assert phone.stopped_apps == ["org.lolvit.demo"]
    assert_as_before(phone)


def test_a_benchmark_program_is_pushed_called_and_parsed(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    phone, serial = attach()
    phone.installed = False
    program = tmp_path / "my benchmark_model; true"
    program.write_text(PROGRAM)
    done = run_lolvit(*_arguments(models, tmp_path, serial), "--binary", program)
    assert done.returncode == 0, done.stderr
    found = _only(read_result(tmp_path / "result.json"))
    assert found.runtime_version.startswith("my benchmark_model; true (sha256 ")
    assert any("mean of the runs" in note for note in found.notes)
    assert len(found.candidate.samples) == 32
    assert found.candidate.load_ms is not None
    assert_as_before(phone)


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        ({"installed": False}, 2, "the app org.lolvit.demo is not installed"),
        ({"settings": {"global/low_power": "1"}}, 2, "battery saver is on"),
        ({"temperature_c": 39.0}, 3, "the phone is at 39 °C, above the limit of 37 °C"),
    ],
)
def test_a_phone_that_is_not_ready_is_rejected_before_anything_is_pushed(
    attach: Attach, models: Models, tmp_path: Path, run_lolvit: Run,
    change: dict[str, object], code: int, what: str,
) -> None:  # fmt: skip
    phone, serial = attach()
    vars(phone).update(change)
    done = run_lolvit(*_arguments(models, tmp_path, serial))
    assert done.returncode == code
    assert what in _line(done)
    assert phone.pushed == []
    assert not phone.awake
    assert "global/stay_on_while_plugged_in" not in phone.settings


def test_without_adb_the_error_names_the_package(
    models: Models, tmp_path: Path, run_lolvit: Run
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    os.symlink(shutil.which("git") or "/bin/true", empty / "git")
    env = os.environ | {"PATH": str(empty)}
    done = run_lolvit(*_arguments(models, tmp_path, "X"), env=env)
    assert done.returncode == 2
    assert "adb is not on the PATH; install Android's platform tools" in _line(done)
