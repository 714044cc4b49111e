"""Fuzzing of what runs in a child process: damaged artifacts, given to the runtimes' own process
(`lolvit_runtimes.worker.runtime`) as files without a manifest are: `python -m tests.fuzz.native
TARGET SECONDS`.

That native code crashes is why the child exists, so a crash is counted and no finding; its parent's
one line about it is tested in tests/runtimes. A finding is any exception but one with a line.
Native code is not guided by coverage. A process takes files until one of them ends it; the next is
forked, with the runtime imported already.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import LolvitError
from lolvit_runtimes import bare
from lolvit_runtimes.session import import_session_class
from lolvit_runtimes.worker.runtime import Requests, limit_resources
from tests.fuzz import artifacts
from tests.fuzz.files import PARTS
from tests.fuzz.target import LONGEST_LINE, Finding
from tests.fuzz.worker_files import Counter, folder_of, keep
from tests.runtimes.mutations import damaged

MEMORY = 8 << 30  # bytes of address space, as the product's least
SECONDS_OF_AN_INPUT = 30.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class NativeTarget:
    """A format in a runtime; None: it is only checked, as `lolvit predict` does first. With
    `described`, the file is opened by its manifest's entry: no check refuses it before."""

    format: str
    runtime: str | None
    described: bool = False


TARGETS = {
    "onnx-ort": NativeTarget("onnx", "ort"),
    "tflite-litert": NativeTarget("tflite", "litert"),
    "pte-executorch": NativeTarget("pte", "executorch"),
    "mlpackage-check": NativeTarget("mlpackage", None),
    "htp-context": NativeTarget("context", "qnn", described=True),
}
FORMATS = {"onnx": "onnx", "tflite": "tflite", "pte": "executorch", "mlpackage": "coreml",
           "context": "qnn"}  # fmt: skip


class Artifacts:
    """Damaged copies of one artifact."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source, self.path = source, folder / source.name
        self._damaged, self._whole = self.path, b""

    def damage(self, generator: random.Random) -> None:
        """Write a copy with one to six changes; of a package, in one of its files."""
        if self._source.is_dir():
            if self._whole:
                self._damaged.write_bytes(self._whole)
            else:
                shutil.rmtree(self.path, ignore_errors=True)  # of a process that crashed
                shutil.copytree(self._source, self.path)
            self._damaged = self.path / generator.choice(PARTS)
            self._whole = self._damaged.read_bytes()
        elif not self._whole:
            self._whole = self._source.read_bytes()
        content = self._whole
        for _ in range(generator.choice((1, 1, 2, 6))):
            content = damaged(content, generator)
        self._damaged.write_bytes(content)

    def content(self) -> bytes:
        """Return the damaged file, or the damaged part of the package."""
        return self._damaged.read_bytes()


def outcome(requests: Requests, steps: Callable[[Requests], None]) -> Finding | None:
    """Return how the runtime's process breaks the property, or None."""
    try:
        steps(requests)
    except LolvitError as error:
        line = error.line()
        wrong = "\n" in line or len(line) > LONGEST_LINE or error.exit_code not in (2, 3)
        return Finding("line", line[:2000]) if wrong else None
    except MemoryError:
        return None  # at the limit, which the process reports as one line
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        return Finding(place, traceback.format_exc())
    return None


def steps_of(target: NativeTarget, path: Path) -> Callable[[Requests], None]:
    """Return the requests about one file: check, or open and run on zeros."""
    format = FORMATS[target.format]
    stated: dict[str, Any] | None = None
    if target.described:
        stated = json.loads(artifacts.path_of(target.format).with_suffix(".json").read_text())

    def steps(requests: Requests) -> None:
        if target.runtime is None:
            requests.handle({"do": "check", "path": str(path), "format": format}, {})
            return
        request = {"do": "open", "path": str(path), "format": format, "runtime": target.runtime,
                   "artifact": stated, "threads": 1}  # fmt: skip
        answer, _ = requests.handle(request, {})
        inputs = {spec["name"]: np.zeros(spec["shape"], spec["dtype"]) for spec in answer["inputs"]}
        requests.handle({"do": "placement"}, {})
        _, outputs = requests.handle({"do": "run"}, inputs)
        assert set(outputs) == {spec["name"] for spec in answer["outputs"]}, "other outputs"

    return steps


def child(target: NativeTarget, home: Path, scratch: Path, end: float) -> None:
    """Give files to the runtime until the time is over."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what native code prints about bad files
    limit_resources(MEMORY)
    copies = Artifacts(artifacts.path_of(target.format), scratch)
    counter, generator, requests = Counter(home / "inputs"), random.Random(), Requests()
    steps = steps_of(target, copies.path)
    parent = os.getppid()
    while time.monotonic() < end and os.getppid() == parent:
        copies.damage(generator)
        counter.add()
        found = outcome(requests, steps)
        if found is not None:
            keep(home / "findings", copies.content(), found)


def supervise(name: str, seconds: float, scratch: Path) -> None:
    """Start one child after another until the time is over; end those that hang."""
    target, home, end = TARGETS[name], folder_of(name), time.monotonic() + seconds
    (home / "findings").mkdir(parents=True, exist_ok=True)
    artifacts.path_of(target.format)
    _import(target)
    counter, children = Counter(home / "inputs"), Counter(home / "children")
    while time.monotonic() < end:
        children.add()
        pid = os.fork()
        if pid == 0:
            try:
                child(target, home, scratch, end)
            finally:
                os._exit(0)  # native threads may not end
        _wait(pid, counter)


def _import(target: NativeTarget) -> None:
    """Import what a child needs, once for all of them."""
    if target.runtime is None:
        bare.check(artifacts.path_of(target.format), FORMATS[target.format])
    else:
        import_session_class(target.runtime)


def _wait(pid: int, counter: Counter) -> None:
    last, since = counter.value(), time.monotonic()
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        time.sleep(POLL_SECONDS)
        if counter.value() != last:
            last, since = counter.value(), time.monotonic()
        elif time.monotonic() - since > SECONDS_OF_AN_INPUT:
            os.kill(pid, signal.SIGKILL)  # as the runtime's parent does


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        supervise(sys.argv[1], float(sys.argv[2]), Path(scratch))


if __name__ == "__main__":
    main()
