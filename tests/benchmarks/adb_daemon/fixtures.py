"""An adb server of the tests' own, and simulated phones that are connected to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.benchmarks.adb_daemon.daemon import Daemon
from tests.benchmarks.adb_daemon.phone import Faults, Phone

Attach = Callable[..., tuple[Phone, str]]


@pytest.fixture(scope="session")
def adb_server() -> Iterator[str]:
    """Start an adb server on its own port, so that attached phones are not seen; return the path of
    adb."""
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
    """A function that attaches a simulated phone and returns it with its serial. The journals of
    runs are in a folder of the test."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    with attaching(adb_server, tmp_path) as new:
        yield new


def environment(folder: Path) -> dict[str, str]:
    """Return the variables with which runs on simulated phones keep their state in a folder."""
    return {"XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1"}


@contextmanager
def attaching(adb: str, folder: Path) -> Iterator[Attach]:
    """As `attach`, for fixtures of a wider scope; phones are disconnected at the end."""
    with ExitStack() as stack:

        def new(name: str = "phone", **faults: object) -> tuple[Phone, str]:
            phone = Phone(folder / name, faults=Faults(**faults))  # type: ignore[arg-type]
            daemon = stack.enter_context(Daemon(phone))
            done = subprocess.run(
                [adb, "connect", daemon.serial], capture_output=True, text=True, check=True
            )
            assert "connected to" in done.stdout
            stack.callback(_disconnect, adb, daemon.serial)
            return phone, daemon.serial

        yield new


def _disconnect(adb: str, serial: str) -> None:
    subprocess.run([adb, "disconnect", serial], capture_output=True, check=False, env=os.environ)


def assert_as_before(phone: Phone) -> None:
    """Check that nothing of ours is left on a phone whose screen was off."""
    assert phone.settings == {"global/low_power": "0"}
    assert not phone.awake
    assert [path for path in phone.files() if "bench" in path] == []
