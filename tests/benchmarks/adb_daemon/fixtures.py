"""An adb server of the tests' own, and simulated phones that are connected to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.benchmarks.adb_daemon.daemon import Daemon
from tests.benchmarks.adb_daemon.phone import Faults, Phone

Attach = Callable[..., tuple[Phone, str]]


@pytest.fixture(scope="session")
def adb_server() -> Iterator[str]:
    """Start a server on a port of its own, so that phones of whoever runs the tests are not seen;
    give the path of adb."""
    program = shutil.which("adb")
    if program is None:
        pytest.skip("adb is not installed: apt install adb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", port)
        yield program
        subprocess.run([program, "-P", port, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def attach(adb_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attach]:
    """Give a function that attaches a simulated phone: returns it and its serial. What runs change
    is noted in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with ExitStack() as stack:

        def new(name: str = "phone", **faults: object) -> tuple[Phone, str]:
            phone = Phone(tmp_path / name, faults=Faults(**faults))  # type: ignore[arg-type]
            daemon = stack.enter_context(Daemon(phone))
            done = subprocess.run(
                [adb_server, "connect", daemon.serial], capture_output=True, text=True, check=True
            )
            assert "connected to" in done.stdout
            stack.callback(_disconnect, adb_server, daemon.serial)
            return phone, daemon.serial

        yield new


def _disconnect(adb: str, serial: str) -> None:
    subprocess.run([adb, "disconnect", serial], capture_output=True, check=False, env=os.environ)


def assert_as_before(phone: Phone) -> None:
    """Check that nothing of ours is left on a phone whose screen was off."""
    assert phone.settings == {"global/low_power": "0"}
    assert not phone.awake
    assert [path for path in phone.files() if "bench" in path] == []
