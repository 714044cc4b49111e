"""`lolvit bench --device browser`, whole, on small models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.backends.browser import backend as browser
from lolvit_benchmarks.backends.browser import chromium, install
from lolvit_benchmarks.backends.registry import DeviceOptions
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks import tiny
from tests.benchmarks.chromium_page import Page, needs_chromium, needs_runtimes, opened_page
from tests.conftest import Run

BENCH = ("--device", "browser", "--profile", "quick")


@pytest.fixture(scope="module")
def measured(fast: Path, slow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of one headless run, in WASM with one and two threads."""
    out = tmp_path_factory.mktemp("bench")
    return measure(fast, slow, out, "--runtime", "ort-web-wasm", "--threads", "1,2")


def measure(fast: Path, slow: Path, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["bench", fast, "--against", slow, *BENCH, "--headless", *options,
                 "--out", out, "--json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lolvit", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@needs_chromium
@needs_runtimes
@pytest.mark.slow
def test_one_command_measures_in_wasm_with_and_without_threads(measured: dict[str, Any]) -> None:
    results = measured["results"]
    cores = len(os.sched_getaffinity(0))
    assert [(r["runtime"], r["threads"]) for r in results] == [
        ("ort-web-wasm", 1), ("ort-web-wasm", 2),
    ]  # fmt: skip
    for result in results:
        assert result["device"] == "browser"
        assert re.match(
            r"(Chromium|Google Chrome|HeadlessChrome) \d", result["device_info"]["name"]
        )
        assert result["device_info"]["details"]["cross_origin_isolated"] == "yes"
        assert result["runtime_version"] == install.versions()["onnxruntime-web"]
        assert result["candidate"]["median_ms"] == pytest.approx(
            stats.median(result["candidate"]["samples"])
        )
        assert result["candidate"]["peak_memory_bytes"] is None
        assert result["conditions"]["cores"] == cores
    assert results[1]["candidate"]["options"]["threads"] == "2"


@needs_chromium
@needs_runtimes
@pytest.mark.slow
def test_webgpu_is_measured_and_a_software_gpu_is_marked(
    fast: Path, smallest: Path, tmp_path: Path
) -> None:
    (result,) = measure(smallest, fast, tmp_path, "--runtime", "ort-web-webgpu")["results"]
    assert result["device_info"]["software"] is not chromium.has_gpu()
    assert result["candidate"]["options"]["execution_provider"] == "webgpu"
    if not chromium.has_gpu():
        assert "a software GPU" in " ".join(result["notes"])


@needs_chromium
@needs_runtimes
@pytest.mark.slow
def test_the_larger_model_takes_longer_and_logits_agree(measured: dict[str, Any]) -> None:
    wasm = measured["results"][0]
    assert wasm["baseline"]["median_ms"] > wasm["candidate"]["median_ms"]
    (agreed,) = [note for note in wasm["notes"] if "SNR of the outputs on the photo" in note]
    assert all(int(db) >= 100 for db in re.findall(r"(\d+) dB \(threshold 100\)", agreed))


@pytest.fixture
def waiting(
    fast: Path, slow: Path, tmp_path: Path
) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Start a run that waits for a page; give its process and the page's address."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        arguments = ["bench", fast, "--against", slow, "--device", "browser", "--window",
                     "--runtime", "ort-web-wasm", "--profile", "default",
                     "--out", tmp_path]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "lolvit", *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            # A shell's background jobs, tests among them, hand an ignored SIGINT down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if (found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)) is not None:
                return process, found[0]
        raise AssertionError("no address was printed")

    yield start
    for process in started:
        process.kill()
        process.wait()


def measuring(page: Page, url: str) -> None:
    """Open the page, press Start and wait until the first of five blocks is through."""
    page.open(url)
    page.until("!document.getElementById('start').hidden")
    page.evaluate("document.getElementById('start').click()")
    bar = "document.getElementById('progress')"
    page.until(f"{bar}.max > 1 && {bar}.value > {bar}.max / 5")


@needs_chromium
@needs_runtimes
@pytest.mark.slow
def test_a_second_page_is_rejected_and_ctrl_c_keeps_finished_blocks(
    waiting: Callable[[], tuple[subprocess.Popen[str], str]], tmp_path: Path
) -> None:
    process, url = waiting()
    status = "document.getElementById('status').textContent"
    with opened_page() as page, opened_page() as second:
        measuring(page, url)
        second.open(url)
        second.until("!document.getElementById('start').hidden")
        second.evaluate("document.getElementById('start').click()")
        second.until(f"{status} === 'Stopped: another page is measuring'")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT
        page.until(f"{status}.startsWith('Stopped:')", 30)
    document = read_result(tmp_path / "result.json")
    assert document.state == "interrupted"
    (result,) = document.results
    assert result.conditions.interrupted and result.quality.state == "INVALID"
    assert len(result.candidate.samples) == len(result.baseline.samples) > 0


@needs_chromium
def test_without_its_runtimes_one_line_names_the_command(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = run_lolvit("bench", fast, "--against", slow, *BENCH, env=environment)
    assert done.returncode == 2
    assert "run: lolvit setup browser" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@needs_runtimes
def test_a_missing_chromium_is_one_line(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"CHROMIUM": "no-such-chromium"}
    done = run_lolvit("bench", fast, "--against", slow, *BENCH, "--runtime", "ort-web-wasm",
                      "--headless", "--out", tmp_path, env=environment)  # fmt: skip
    assert done.returncode == 3
    assert "no Chromium found; on Debian, run: apt install chromium" in done.stderr


@needs_runtimes
def test_a_chromium_that_exits_is_one_line(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    environment = os.environ | {"CHROMIUM": str(broken)}
    done = run_lolvit("bench", fast, "--against", slow, *BENCH, "--runtime", "ort-web-wasm",
                      "--headless", "--out", tmp_path, env=environment)  # fmt: skip
    assert done.returncode == 3
    assert "Chromium ended with exit code 7" in done.stderr


@needs_runtimes
@pytest.mark.parametrize("option", [("--sustain", "1"), ("--profile-ops",)])
def test_unsupported_options_are_rejected(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    done = run_lolvit("bench", fast, "--against", slow, *BENCH, "--runtime", "ort-web-wasm",
                      *option, "--out", tmp_path)  # fmt: skip
    assert done.returncode == 2
    assert f"{option[0]} is not available in a browser" in done.stderr


@needs_chromium
@needs_runtimes
@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_detectors_and_segmentation_models_are_measured(task: str, tmp_path: Path) -> None:
    first, second = (tiny.make_dense_folder(tmp_path / name, task, ("cat", "dog")) for name in "ab")
    document = measure(first, second, tmp_path / "out", "--runtime", "ort-web-wasm")
    (result,) = document["results"]
    assert result["candidate"]["median_ms"] > 0
    (agreed,) = [note for note in result["notes"] if "SNR of the outputs" in note]
    assert all(int(db) >= 100 for db in re.findall(r"(\d+) dB \(threshold 100\)", agreed))


def test_the_listing_names_what_a_browser_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    (status,) = browser.list_devices()
    assert (status.id, status.kind) == ("browser", "browser")
    assert "latency" in status.reports and "energy" in status.not_reported
    monkeypatch.setattr(install, "is_installed", lambda: False)
    (status,) = browser.list_devices()
    assert not status.ready and "lolvit setup browser" in status.reason


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DeviceOptions(headless=True, lan=True), True),
        (DeviceOptions(headless=False), False),
        (DeviceOptions(lan=True), False),
        (DeviceOptions(open_page=True), False),
        (DeviceOptions(), True),  # tests have no terminal
    ],
)
def test_chromium_is_started_where_no_user_could_open_a_page(
    options: DeviceOptions, expected: bool
) -> None:
    assert chromium.wants_headless(options) is expected


@pytest.mark.parametrize(("root", "gpu"), [(True, True), (False, False)])
def test_chromium_is_started_with_a_profile_of_its_own(
    root: bool, gpu: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "has_gpu", lambda: gpu)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0 if root else 1000)
    command = chromium.command(Path("chromium"), tmp_path, "http://127.0.0.1:1/token/")
    assert f"--user-data-dir={tmp_path}" in command
    assert ("--no-sandbox" in command) is root
    assert ("--use-webgpu-adapter=swiftshader" in command) is not gpu
    rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    assert f"--host-resolver-rules={rules}" in command
    assert command[-1] == "http://127.0.0.1:1/token/"


def test_chromium_keeps_what_it_writes_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    places = chromium._environment(tmp_path, "http://127.0.0.1:1/token/")
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    assert all(Path(places[name]).is_relative_to(tmp_path) for name in names)
    # whose certificates are the user's
    assert chromium._environment(tmp_path, "https://192.168.1.2:1/")["HOME"] == "/home/me"


def test_a_qr_code_is_square_and_has_its_three_corners() -> None:
    lines = chromium.qr_code("http://192.168.1.2:8080/token/").splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines) == (len(lines[0]) + 1) // 2
    corner = "▄▄▄▄▄"
    assert lines[1].count(corner) == 2
