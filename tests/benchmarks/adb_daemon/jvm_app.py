"""The Android app's own entry point behind a simulated phone: in a JVM, under Robolectric."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from android_build.tools import SHORT_LIVED_JAVA
from tests.benchmarks.adb_daemon import app
from tests.benchmarks.adb_daemon.phone import Phone, Say

_START_S = 120.0
_RESULT = "INSTRUMENTATION_RESULT: "


class JvmApp:
    """A context in which a phone's app is the real one; `command` runs Maven on its build."""

    def __init__(self, command: list[str], phone: Phone, log: Path) -> None:
        self._command, self._phone, self._log = command, phone, log

    def __enter__(self) -> JvmApp:
        folder = self._phone.path(app.FOLDER)
        folder.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as listening, self._log.open("wb") as log:
            listening.settimeout(_START_S)
            settings = {"port": listening.getsockname()[1], "folder": folder}
            self._process = subprocess.Popen(
                [*self._command, *(f"-Dlolvit.harness.{k}={v}" for k, v in settings.items())],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=SHORT_LIVED_JAVA | os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            connection, _ = listening.accept()
        connection.settimeout(_START_S)
        self._stream = connection.makefile("rw")
        connection.close()  # the stream keeps it open
        self._phone.instrument = self._instrument
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()
        code = self._process.wait(_START_S)
        assert code == 0, self._log.read_text()[-2000:]

    def _instrument(self, phone: Phone, extras: dict[str, str], out: Say) -> dict[str, str]:
        self._stream.write(json.dumps(extras) + "\n")
        self._stream.flush()
        results: dict[str, str] = {}
        while line := self._stream.readline().rstrip("\n"):
            if line.startswith(_RESULT):
                name, _, value = line.removeprefix(_RESULT).partition("=")
                results[name] = value
            elif not line.startswith("INSTRUMENTATION_CODE"):
                out(f"{line}\n")
        if "error" in results:
            raise RuntimeError(results["error"])
        return results
