"""Every way a run can end: its exit code, one line on standard error, one document on stdout."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

PROGRAM = Path(__file__).with_name("failing_commands.py")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


ONE_LINE_ENDINGS = {
    "user-error": (2, "lolvit: x.onnx: bad value; use another"),
    "gate-failed": (1, "lolvit: 40 dB, threshold 100 dB"),
    "device-failed": (3, "lolvit: adb:1: no answer"),
    "ctrl-c": (130, "lolvit: stopped by SIGINT, nothing half-written is left"),
    "sigterm-in-an-import": (143, "lolvit: stopped by SIGTERM, nothing half-written is left"),
    "memory": (3, "lolvit: out of memory; close other programs, or use a smaller size or batch"),
    "disk-full": (
        2,
        "lolvit: out/a.onnx: cannot write: No space left on device; "
        "free space or choose another folder",
    ),
    "library-disk-full": (
        2,
        "lolvit: cannot write: No space left on device; "
        "free space in the output folder, that of temporary files and /dev/shm",
    ),
}


@pytest.mark.parametrize(
    ("name", "code"), [("ctrl-c-in-finalizer", 130), ("sigterm-in-finalizer", 143)]
)
def test_a_stop_that_python_drops_in_a_finalizer_is_raised_again(name: str, code: int) -> None:
    # A background job's children ignore SIGINT unless they are told otherwise.
    done = run(name, timeout=30, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert done.returncode == code
    assert done.stderr.startswith("lolvit: stopped by SIG") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ONE_LINE_ENDINGS)
def test_a_failure_is_one_line_and_its_exit_code(name: str) -> None:
    code, line = ONE_LINE_ENDINGS[name]
    done = run(name)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", line + "\n")


@pytest.mark.parametrize("name", [*ONE_LINE_ENDINGS, "bug"])
def test_a_failure_with_json_is_also_one_document(name: str) -> None:
    done = run(name, "--json")
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"what", "where", "remedy", "exit_code"}
    assert error["exit_code"] == done.returncode
    assert done.stderr.splitlines()[-1].startswith("lolvit: ")


@pytest.mark.parametrize("name", ["bug", "other-oserror", "missing-module"])
def test_a_bug_keeps_its_traceback_and_asks_for_a_report(name: str) -> None:
    done = run(name)
    assert done.returncode == 70
    assert "Traceback (most recent call last)" in done.stderr
    assert "please report it" in done.stderr.splitlines()[-1]


def test_a_missing_extra_names_the_command_that_adds_it() -> None:
    done = run("missing-extra")
    assert done.returncode == 2
    assert "run: pip install 'lolvit[bench]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_document_printed_before_a_failure_stays_the_only_one() -> None:
    done = run("print-then-fail", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"gates": ["first"]}
    assert done.stderr == "lolvit: gate 'first' failed\n"


def test_with_json_whatever_libraries_print_goes_to_standard_error() -> None:
    done = run("chatter", "--json")
    assert json.loads(done.stdout) == {"answer": 42}
    for words in ("python chatter", "native chatter", "child chatter"):
        assert words in done.stderr


def test_the_exit_code_of_sys_exit_is_kept() -> None:
    assert run("sys-exit").returncode == 3


WRONG_USAGE = {
    ("gate-faild",): "unknown command 'gate-faild'; did you mean 'gate-failed'?",
    ("memory", "--thread", "1"): "unknown option '--thread'; did you mean '--threads'?",
    ("memory", "--threads", "x"): "Invalid value for '--threads'",
    ("memory", "--threads"): "Option '--threads' requires an argument",
    ("memory", "surplus"): "Got unexpected extra argument",
    ("--jsn",): "unknown option '--jsn'",
}


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_is_one_line_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert WRONG_USAGE[arguments] in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_usage_with_json_is_a_document() -> None:
    done = run("memory", "--threads", "x", "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == done.returncode == 2


def test_json_after_a_double_dash_is_no_option() -> None:
    done = run("user-error", "--", "--json")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_reader_that_has_gone_ends_the_run_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(PROGRAM), "chatter", "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["doctor", "--help"]])
def test_what_is_printed_to_a_reader_that_has_gone_ends_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "lolvit", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_and_leaves_the_previous_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "whole").write_text("previous")
    command = [sys.executable, str(PROGRAM), "staging"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run under nohup would hand their ignored SIGHUP down.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "staged\n"
        child.send_signal(number)
        rest = child.stderr.read()
    assert child.returncode == 128 + number
    assert rest == f"lolvit: stopped by {number.name}, nothing half-written is left\n"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target" / "whole").read_text() == "previous"


def test_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, str(PROGRAM), "staging"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        while child.stderr.readline() not in ("staged\n", ""):
            pass
        child.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        child.terminate()
        child.communicate()
    assert child.returncode == 128 + signal.SIGTERM


def test_torch_out_of_memory_is_not_an_internal_error() -> None:
    import torch

    from lolvit.error_handling import to_lolvit_error

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    failure = to_lolvit_error(caught.value)
    assert failure is not None and failure.exit_code == 3
    assert failure.line().startswith("out of memory; close other programs")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), "site-packages/onnx"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
    ids=["Python", "an import that cannot list a folder", "the dynamic linker"],
)
def test_want_of_memory_is_a_device_error_here_and_in_a_child(error: Exception) -> None:
    from lolvit.error_handling import to_lolvit_error
    from lolvit_runtimes.worker import server

    def handle() -> server.Answer:
        raise error

    failure = to_lolvit_error(error)
    assert failure is not None and failure.exit_code == 3
    answer, _ = server._answer(handle)
    assert answer["error"]["what"] == failure.what == "out of memory"


def test_a_name_that_no_file_system_takes_is_a_user_error(run_lolvit: Run) -> None:
    done = run_lolvit("predict", "n" * 300, "photo.png")
    assert done.returncode == 2
    assert done.stderr == f"lolvit: {'n' * 300}: the name is too long; choose a shorter one\n"
