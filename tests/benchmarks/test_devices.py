"""What can be measured from here."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.backends.local import host_status
from lolvit_benchmarks.backends.registry import DEVICES, choose_devices, list_devices
from lolvit_benchmarks.results.files import SCHEMA_PATH, schema_text
from lolvit_runtimes.probe import Status
from lolvit_runtimes.table import RUNTIMES
from tests.conftest import Run


def test_the_command_lists_the_host_and_its_runtimes(run_lolvit: Run) -> None:
    done = run_lolvit("devices", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    host = document["devices"][0]
    assert set(host) == {"id", "kind", "ready", "reason", "reports", "not_reported"}
    assert (host["id"], host["ready"]) == ("host", True)
    assert [runtime["id"] for runtime in document["runtimes"]] == list(DEVICES["host"].runtimes)


def test_what_only_verify_can_use_is_listed_and_bench_says_so() -> None:
    (arm64,) = (status for status in list_devices() if status.id == "arm64")
    assert arm64.reports == ("numbers, by lolvit verify",) and "latency" in arm64.not_reported
    with pytest.raises(UserError, match="no speed; run: lolvit verify FOLDER --device arm64"):
        choose_devices("host,arm64", None)


def test_references_are_not_timed() -> None:
    left_out = set(RUNTIMES) - set(DEVICES["host"].runtimes)
    assert left_out >= {name for name in RUNTIMES if "reference" in name}
    assert {"ort", "litert"} <= set(DEVICES["host"].runtimes)


def test_a_device_takes_its_own_runtimes_and_its_defaults_where_none_is_named() -> None:
    (host,) = choose_devices("host", None)
    assert (host.runtimes, host.formats) == (("ort", "litert"), ("onnx", "tflite"))
    (host,) = choose_devices("host,host", "openvino")
    assert (host.id, host.runtimes) == ("host", ("openvino",))


@pytest.mark.parametrize(
    ("format", "runtimes"),
    [("onnx", ("ort",)), ("tflite", ("litert",)), ("executorch", ("executorch",))],
)
def test_an_artifact_is_measured_in_the_runtimes_that_open_it(
    format: str, runtimes: tuple[str, ...]
) -> None:
    (host,) = choose_devices("host", None, {format})
    assert host.runtimes == runtimes
    (named,) = choose_devices("host", "openvino", {format})
    assert named.runtimes == ("openvino",)  # what the user names stays
    (browser,) = choose_devices("browser", None, {"onnx"})
    assert browser.runtimes == ("ort-web-wasm",)


def test_an_artifact_that_no_device_times_is_reported_in_one_line() -> None:
    with pytest.raises(UserError, match="no device reports the speed of coreai artifacts"):
        choose_devices("host", None, {"coreai"})


@pytest.mark.parametrize(
    ("text", "runtimes", "line"),
    [
        ("hots", None, "unknown device 'hots'"),
        ("host:1", None, "takes nothing after a colon"),
        (",", None, "no device given"),
        ("host", "litert-referenze", "unknown runtime 'litert-referenze'"),
        ("host", "litert-reference", "'litert-reference' is for verification and reports no speed"),
        ("host", "ort,coreai", "'coreai' is for verification and reports no speed"),
    ],
)
def test_a_device_that_is_not_there_is_reported_in_one_line(
    text: str, runtimes: str | None, line: str
) -> None:
    with pytest.raises(UserError, match=line):
        choose_devices(text, runtimes)


def test_a_host_without_runtimes_is_not_ready_and_says_what_adds_one() -> None:
    host = host_status([Status("ort", "runtime", False, "missing")])
    assert not host.ready
    assert "pip install" in host.reason


def test_the_published_schema_is_that_of_the_documents() -> None:
    assert SCHEMA_PATH.read_text() == schema_text(), (
        "run: python -m lolvit_benchmarks.results.files"
    )


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is a Mac")
def test_apple_is_listed_as_not_ready_and_untested_and_refused_in_one_line(
    run_lolvit: Run, fast: Path
) -> None:
    (apple,) = [one for one in list_devices() if one.id == "apple"]
    assert not apple.ready
    assert "never run on a Mac" in apple.reason
    done = run_lolvit("bench", fast, "--against", fast, "--device", "apple")
    assert done.returncode == 2
    assert "Core ML runs on a Mac only" in done.stderr


def test_devices_are_listed_where_only_the_base_is_installed() -> None:
    """In a process of its own, in which nothing of the extra `bench` can be imported."""
    code = (
        "import importlib.util, sys\n"
        "extras = ('platformdirs', 'psutil', 'matplotlib', 'jinja2', 'onnx')\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *_: None if name in extras else find(name)\n"
        "sys.modules.update(dict.fromkeys(extras))\n"
        "from lolvit_benchmarks.backends.registry import list_devices\n"
        "print(*(status.id for status in list_devices()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"host", "litert-gpu", "browser", "arm64"} <= set(done.stdout.split())
