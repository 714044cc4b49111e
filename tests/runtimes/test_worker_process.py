"""A child process answers, reports its failures as their types, and ends with its parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lolvit.errors import DeviceError, GateFailedError, LolvitError, UserError
from lolvit_runtimes.worker.process import Process, exit_reason, python_module, start
from lolvit_runtimes.worker.server import PARENT_PID
from tests.processes import is_alive, wait_until_ended

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties children on Linux")
CHILD = """\
import time
from lolvit.errors import *
from lolvit_runtimes.worker import server

def handle(request, arrays):
    print("on standard output")
    {handle}

def make():
    {make}
    return handle

server.run(make)
"""
PARENT = """\
import sys, time
from lolvit_runtimes.worker.process import Process, python_module
process = Process(python_module("some_child"), name="the work")
print(process.pid, flush=True)
process.ask({"do": "wait"})
"""
CLEANING = """\
import os, signal, sys, time

def clean_up(number, frame):
    os.write(1, b"cleaned up\\n")  # print may be what the signal interrupted
    sys.exit()

signal.signal(signal.SIGTERM, clean_up)
print("started", flush=True)
time.sleep(600)
"""

Made = Callable[..., Process]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Start a module with a handler of the given body."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[Process] = []

    def begin(handle: str, make: str = "pass") -> Process:
        (tmp_path / "some_child.py").write_text(CHILD.format(handle=handle, make=make))
        made.append(Process(python_module("some_child"), name="the work", where="there"))
        return made[-1]

    yield begin
    for process in made:
        process.close()


def test_what_a_handler_prints_does_not_mix_with_its_answers(child: Made) -> None:
    process = child("return {'got': request['do']}, arrays")
    for word in ("one", "two"):
        assert process.ask({"do": word}, 60) == ({"got": word}, {})


@pytest.mark.parametrize(
    ("raised", "kind"),
    [("GateFailedError", GateFailedError), ("UserError", UserError), ("DeviceError", DeviceError)],
)
@pytest.mark.parametrize("where", ["", "elsewhere"])
def test_a_reported_failure_has_its_type_and_ends_the_process(
    child: Made, raised: str, kind: type[LolvitError], where: str
) -> None:
    process = child(f"raise {raised}('no such thing', where={where!r}, remedy='try again')")
    with pytest.raises(kind) as caught:
        process.ask({}, 60)
    assert caught.value.line() == f"{where or 'there'}: no such thing; try again"
    assert process.ended
    with pytest.raises(DeviceError, match="the work has ended"):
        process.ask({}, 60)


def test_a_failure_before_the_first_request_is_its_answer(child: Made) -> None:
    with pytest.raises(UserError, match="no such thing"):
        child("return {}, {}", make="raise UserError('no such thing')").ask({}, 60)


@pytest.mark.parametrize(
    "raised",
    ["MemoryError()", "ImportError('x.so: failed to map segment from shared object')"],
)
def test_want_of_memory_is_a_device_error(child: Made, raised: str) -> None:
    with pytest.raises(DeviceError, match="there: out of memory"):
        child(f"raise {raised}").ask({}, 60)


@pytest.mark.parametrize("exit_code", [0, 256, -1, "'2'", None])
def test_a_report_without_a_failures_exit_code_is_an_invalid_response(
    child: Made, exit_code: object
) -> None:
    process = child(f"return {{'error': {{'what': 'fine', 'exit_code': {exit_code}}}}}, {{}}")
    with pytest.raises(DeviceError, match="the work gave an invalid response"):
        process.ask({}, 60)


def test_a_bug_has_its_traceback_with_its_causes_and_no_other(child: Made) -> None:
    process = child(
        "import traceback\n"
        "    try:\n        raise ValueError('logged')\n"
        "    except ValueError:\n        traceback.print_exc()\n"
        "    try:\n        raise KeyError('first')\n"
        "    except KeyError as error:\n        raise ValueError('second') from error"
    )
    with pytest.raises(RuntimeError, match=r"(?s)^the work failed:\nTraceback") as caught:
        process.ask({}, 60)
    assert re.search(r"(?s)KeyError: 'first'.*ValueError: second$", str(caught.value))
    assert "logged" not in str(caught.value)


def test_closing_in_another_thread_ends_a_request(child: Made) -> None:
    process = child("time.sleep(600)")
    closing = threading.Timer(0.5, process.close)
    closing.start()
    with pytest.raises(DeviceError, match="was killed"):
        process.ask({})
    closing.join()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with exit code 3"),
        (-signal.SIGSEGV, r"crashed (SIGSEGV)"),
        (-signal.SIGKILL, "was killed (SIGKILL), out of memory?"),
        (-250, "crashed (signal 250)"),
    ],
)
def test_an_exit_reason_names_the_signal_or_code(code: int, words: str) -> None:
    assert exit_reason(code) == words


def test_a_program_that_is_not_there_leaves_no_thread() -> None:
    threads = threading.active_count()
    with pytest.raises(FileNotFoundError):
        Process(["/no/such/program"], name="the work")
    assert threading.active_count() == threads


@on_linux
def test_a_busy_child_ends_with_a_killed_parent(
    child: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads no end of its input meanwhile."""
    ready = tmp_path / "ready"
    child(f"open({str(ready)!r}, 'w').close(); time.sleep(600)").close()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    while not ready.exists():
        assert is_alive(pid)
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    wait_until_ended([pid], 2)


@on_linux
def test_a_child_whose_parent_ended_while_it_started_ends_at_once(child: Made) -> None:
    child("return {}, {}").close()
    orphan = start(
        ["env", f"{PARENT_PID}={os.getppid()}", *python_module("some_child")],
        stdin=subprocess.PIPE,
    )
    assert orphan.wait(60) == -signal.SIGKILL
    assert orphan.stdin is not None
    orphan.stdin.close()


def test_a_child_outlives_the_thread_that_asked_for_it(child: Made) -> None:
    made: list[Process] = []

    def begin() -> None:
        made.append(child("return {}, {}"))
        made[0].ask({}, 60)  # it is tied to its parent by now

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert made[0].ask({}, 60) == ({}, {})


@on_linux
def test_a_command_cleans_up_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "command.py").write_text(CLEANING)
    program = (
        "import time\n"
        "from lolvit_runtimes.worker.process import python_module, start\n"
        "start(python_module('lolvit_runtimes.worker.server', 'command'))\n"
        "time.sleep(600)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert parent.stdout is not None
    with parent.stdout as lines:
        assert lines.readline() == "started\n"
        parent.kill()
        parent.wait()
        assert lines.read() == "cleaned up\n"  # to the end: nobody holds the pipe any more
