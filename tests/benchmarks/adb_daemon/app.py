"""A simulation of the app's side of docs/android-benchmark.md: artifacts are really loaded, run and
timed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lolvit_benchmarks.backends.android.contract import PACKAGE
from lolvit_runtimes.bare import describe
from lolvit_runtimes.session import Session, open_session

if TYPE_CHECKING:
    from tests.benchmarks.adb_daemon.phone import Phone

FOLDER = f"/storage/emulated/0/Android/data/{PACKAGE}/files/bench"
VERSION = "1.0-test"


def digest(path: Path) -> str:
    """Return a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def instrument(phone: Phone, extras: dict[str, str], out: Callable[[str], None]) -> dict[str, str]:
    """Execute an action of the instrumentation; return its results."""
    folder = phone.path(FOLDER)
    if extras["action"] == "prepare":
        (folder / "files").mkdir(parents=True, exist_ok=True)
        facts = {
            "schema_version": 2, "kind": "lolvit-device-facts", "app_version": VERSION,
            "folder": FOLDER, "runtimes": {"ort": "1", "litert": "2"},
        }  # fmt: skip
        return {"facts": json.dumps(facts)}
    data = (folder / f"{extras['run']}.request.json").read_bytes()
    recording = b"\x00garbage{"
    if not phone.faults.garbage:
        recording = _measured(json.loads(data), data, out, folder)
    (folder / f"{extras['run']}.recording.json").write_bytes(recording)
    return {"recording": f"{extras['run']}.recording.json"}


def _measured(
    request: dict[str, Any], data: bytes, out: Callable[[str], None], folder: Path
) -> bytes:
    with ExitStack() as stack:
        candidates, runs = [], {}
        for asked in request["candidates"]:
            seen, session, inputs = _open(asked, request, folder / "files")
            stack.enter_context(closing(session))
            runs[asked["name"]] = lambda session=session, inputs=inputs: session.run(inputs)
            candidates.append(seen)
        slots = []
        for number, slot in enumerate(request["slots"]):
            run = runs[slot["candidate"]]
            for _ in range(slot["warm_up_runs"]):
                run()
            times = [_nanoseconds(run) for _ in range(slot["burst"])]
            slots.append({"candidate": slot["candidate"], "durations_ns": times})
            out(f"INSTRUMENTATION_STATUS: slots={number + 1}\nINSTRUMENTATION_STATUS_CODE: 1\n")
    recording = {
        "schema_version": 2, "kind": "lolvit-device-recording",
        "request_sha256": hashlib.sha256(data).hexdigest(),
        "runtime_version": "1", "app_version": VERSION, "cpuset": "/top-app",
        "candidates": candidates, "slots": slots,
    }  # fmt: skip
    return json.dumps(recording).encode()


def _open(
    asked: dict[str, Any], request: dict[str, Any], files: Path
) -> tuple[dict[str, Any], Session, dict[str, np.ndarray]]:
    path = files / asked["artifact"]["name"]
    for file in (asked["artifact"], asked["input"]):
        if digest(files / file["name"]) != file["sha256"]:
            raise ValueError(f"{file['name']} is not what was asked for")
    image = np.fromfile(files / asked["input"]["name"], asked["dtype"]).reshape(asked["shape"])
    start = time.perf_counter()
    artifact = describe(path, asked["format"])
    inputs = {artifact.image.name: image}
    session = open_session(request["runtime"], path, artifact, threads=request["threads"])
    loaded = time.perf_counter()
    (logits,) = session.run(inputs).values()
    first = time.perf_counter()
    times = [_nanoseconds(lambda: session.run(inputs)) for _ in range(request["warm_up_runs"])]
    seen = {
        "name": asked["name"], "artifact_sha256": digest(path),
        "load_ms": (loaded - start) * 1e3, "first_ms": (first - loaded) * 1e3,
        "run_ms": float(np.median(times)) / 1e6,
        "placement": session.placement(), "options": session.options(),
        "logits": [float(value) for value in np.ravel(logits)],
    }  # fmt: skip
    return seen, session, inputs


def _nanoseconds(run: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start
