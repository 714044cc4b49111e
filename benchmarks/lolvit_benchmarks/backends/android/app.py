"""The app on a phone as what measures: prepared, given files and a request, its answer read."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android import contract
from lolvit_benchmarks.backends.android.client import Adb, Hear
from lolvit_benchmarks.backends.android.push import Load, push_missing
from lolvit_benchmarks.backends.android.restore import Journal

Model = TypeVar("Model", bound=BaseModel)

_PREPARE_S = 60.0
_RESULT = re.compile(r"^INSTRUMENTATION_RESULT: (\w+)=(.*)$", re.MULTILINE)
_STATUS = re.compile(r"INSTRUMENTATION_STATUS: slots=(\d{1,6})")
_LARGEST_RECORDING = 32 << 20


@dataclass(frozen=True)
class App:
    """The app on one phone, prepared: `facts` are its answer."""

    adb: Adb
    facts: contract.Facts

    @property
    def _files(self) -> str:
        return f"{self.facts.folder}/files"

    def load(self, local: Path, sha256: str) -> Load:
        """Return a file of this computer as it goes to the app: named by its content."""
        return Load(local, sha256, f"{self._files}/{sha256}{local.suffix.lower()}")

    def push(self, loads: list[Load]) -> list[Load]:
        """Bring files to the app; return those that had to be sent.

        Raises:
            UserError, DeviceError: as `push_missing`.
        """
        return push_missing(self.adb, self._files, loads)

    def run(
        self, request: contract.DeviceRequest, hear_slots: Hear, timeout_s: float
    ) -> contract.DeviceRecording:
        """Have one block measured; `hear_slots` hears how many slots are done.

        Raises:
            DeviceError: the phone was lost, the app failed, or its answer is none.
        """
        text = request.model_dump_json(indent=1)
        name = secrets.token_hex(8)
        there = [f"{self.facts.folder}/{name}.{kind}.json" for kind in ("request", "recording")]
        with tempfile.TemporaryDirectory() as scratch:
            sent, got = Path(scratch) / "request.json", Path(scratch) / "recording.json"
            sent.write_text(text)
            self.adb.push(sent, there[0], _PREPARE_S)
            _instrument(self.adb, {"action": "run", "run": name}, timeout_s, _slots(hear_slots))
            self.adb.pull(there[1], got)
            recording = self._recording(got)
        digest = hashlib.sha256(text.encode()).hexdigest()
        wrong = contract.why_not_answer(recording, request, digest)
        if wrong is not None:
            raise _garbage(self.adb.serial, f"its recording {wrong}")
        self.adb.shell(["rm", "-f", *there])
        return recording

    def _recording(self, path: Path) -> contract.DeviceRecording:
        if path.stat().st_size > _LARGEST_RECORDING:
            raise _garbage(self.adb.serial, f"a recording of {path.stat().st_size} bytes")
        data = path.read_bytes()
        return _read(data, contract.DeviceRecording, self.adb.serial, "recording")


def prepare_app(adb: Adb, journal: Journal, runtimes: set[str]) -> App:
    """Have the app make its folder and tell what it has.

    Raises:
        UserError: the app is not installed, or lacks a runtime.
        DeviceError: the phone was lost, or the app's answer is none.
    """
    if adb.shell(["pm", "path", contract.PACKAGE]).code != 0:
        raise UserError(
            f"the app {contract.PACKAGE} is not installed",
            where=f"adb:{adb.serial}",
            remedy="run: make android, then adb install; or measure by a program with --binary",
        )
    journal.note(app=True)
    answer = _instrument(adb, {"action": "prepare"}, _PREPARE_S, lambda line: None)
    facts = _read(answer.get("facts", "").encode(), contract.Facts, adb.serial, "description")
    missing = sorted(runtimes - set(facts.runtimes))
    if missing:
        raise UserError(
            f"the app has no runtime {', '.join(missing)}, only {', '.join(facts.runtimes)}",
            where=f"adb:{adb.serial}",
            remedy=f"give --runtime {','.join(facts.runtimes)}",
        )
    journal.note(folders=(*journal.read().folders, facts.folder))
    return App(adb, facts)


def _instrument(adb: Adb, extras: dict[str, str], timeout_s: float, hear: Hear) -> dict[str, str]:
    """Run the app's instrumentation, and return the results that it gave by name.

    Raises:
        DeviceError: the phone was lost, or the app failed or crashed.
    """
    words = [word for name, value in extras.items() for word in ("-e", name, value)]
    command = ["am", "instrument", "-w", "-r", *words, contract.INSTRUMENTATION]
    done = adb.follow(command, hear, timeout_s)
    answer = dict(_RESULT.findall(done.output.replace("\r", "")))
    if "INSTRUMENTATION_CODE: -1" in done.output and "error" not in answer:
        return answer
    said = answer.get("error") or answer.get("longMsg") or answer.get("shortMsg")
    what = said or (done.errors or done.output).strip()[-200:] or "no message"
    raise DeviceError(f"the app failed: {what}")


def _slots(hear: Hear) -> Hear:
    def line(text: str) -> None:
        found = _STATUS.match(text)
        if found:
            hear(found[1])

    return line


def _read(data: bytes, model: type[Model], serial: str, what: str) -> Model:
    try:
        return model.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _garbage(serial, f"its {what}, field '{field}': {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _garbage(serial, f"its {what} is no JSON") from error


def _garbage(serial: str, what: str) -> DeviceError:
    return DeviceError(
        f"the app's answer can't be used: {what}",
        remedy="install the app of this lolvit version",
    )
