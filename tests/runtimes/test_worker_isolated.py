"""A runtime in a child process gives the same numbers, and its end is one line here."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lolvit.errors import DeviceError, LolvitError, MissingExtraError, UserError
from lolvit_runtimes.bare import format_of
from lolvit_runtimes.session import open_session
from lolvit_runtimes.worker.isolated import IsolatedSession, RuntimeProcess, check_bare
from tests.runtimes.mutations import mutated
from tests.sessions import run_image

FORMATS = {"ort": "onnx", "litert": "tflite"}


@pytest.fixture
def bare(exported, tmp_path):
    """Copy an artifact to a folder without a manifest."""

    def copy(format: str, content: bytes | None = None) -> Path:
        path = tmp_path / f"elsewhere.{format}"
        source = exported / f"model-fp32.{format}"
        path.write_bytes(source.read_bytes() if content is None else content)
        return path

    return copy


def pid_of(session: IsolatedSession) -> int:
    return session._child._process.pid


@pytest.mark.parametrize("runtime", FORMATS)
def test_numbers_and_placement_are_those_of_this_process(runtime, bare, exported, manifest, image):
    artifact = manifest.find(FORMATS[runtime], "fp32")
    here = open_session(runtime, exported / artifact.path, artifact)
    there = IsolatedSession(runtime, bare(FORMATS[runtime]))
    np.testing.assert_array_equal(run_image(there, image), run_image(here, image))
    assert there.placement() == here.placement()
    assert there.options() == here.options() | {"process": "child"}
    assert there.version == here.version
    assert 0 < there.last_run_seconds < 10
    there.close()


@pytest.mark.parametrize("runtime", FORMATS)
def test_a_bare_file_tells_its_tensors(runtime, bare):
    session = IsolatedSession(runtime, bare(FORMATS[runtime]))
    assert session.inputs[0].shape == (1, 3, 32, 32)
    assert (session.inputs[0].layout, session.inputs[0].dtype) == ("NCHW", "float32")
    assert session.outputs[0].shape == (1, 10)
    session.close()


def test_a_crash_is_one_line_with_exit_code_3(bare, manifest, exported):
    """LiteRT refuses some of these files and crashes on others; given a manifest's entry, no check
    refuses them first."""
    content = (exported / "model-fp32.tflite").read_bytes()
    messages = []
    for part in (4, 8, 16, 32):
        broken = bare("tflite", content[: len(content) // part])
        with pytest.raises(DeviceError) as caught:
            IsolatedSession("litert", broken, manifest.find("tflite", "fp32"))
        assert caught.value.exit_code == 3
        messages.append(caught.value.line())
    assert any(re.search(r"crashed \(SIG(SEGV|BUS|ABRT)\)", message) for message in messages)
    assert not any("\n" in message for message in messages)
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_bare_file_never_reaches_a_child(bare, exported, monkeypatch):
    monkeypatch.setattr("lolvit_runtimes.worker.isolated.RuntimeProcess", None)
    content = (exported / "model-fp32.tflite").read_bytes()
    with pytest.raises(UserError, match="not a valid TFLite file"):
        IsolatedSession("litert", bare("tflite", content[:-100]))


def test_a_hang_ends_after_the_time_limit(bare, image):
    session = IsolatedSession("ort", bare("onnx"), run_seconds=0.5)
    os.kill(pid_of(session), signal.SIGSTOP)
    started = time.perf_counter()
    with pytest.raises(DeviceError, match=r"no answer in 0\.5 s"):
        run_image(session, image)
    assert time.perf_counter() - started < 5
    with pytest.raises(DeviceError, match="has ended"):
        run_image(session, image)


def test_a_hang_ends_even_where_the_image_fills_the_pipe(bare):
    session = IsolatedSession("ort", bare("onnx"), run_seconds=0.5)
    os.kill(pid_of(session), signal.SIGSTOP)
    with pytest.raises(DeviceError, match="no answer"):
        run_image(session, np.zeros((1, 3, 1024, 1024), np.float32))


def test_a_killed_runtime_is_one_line(bare, image):
    session = IsolatedSession("ort", bare("onnx"))
    os.kill(pid_of(session), signal.SIGKILL)
    with pytest.raises(DeviceError, match="out of memory"):
        run_image(session, image)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_too_much_memory_is_a_device_error(bare):
    with pytest.raises(DeviceError, match="out of memory"):
        IsolatedSession("ort", bare("onnx"), memory=100 << 20)


@pytest.mark.parametrize("answer", ["printf 'nonsense, at length'; exec cat", "exit 3"])
def test_an_invalid_response_of_a_child_is_a_device_error(bare, tmp_path, monkeypatch, answer):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    path = bare("onnx")
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(DeviceError, match=r"invalid response|exit code 3"):
        RuntimeProcess(path)


def test_a_wrong_input_is_reported_and_ends_the_session(bare):
    session = IsolatedSession("ort", bare("onnx"))
    with pytest.raises(
        DeviceError, match=r"input .* is float32 \(1, 3, 8, 8\), the artifact takes"
    ):
        run_image(session, np.zeros((1, 3, 8, 8), np.float32))


def test_a_bug_in_the_child_is_a_bug_here(bare):
    with (
        RuntimeProcess(bare("onnx")) as child,
        pytest.raises(RuntimeError, match="unknown request 'fly'"),
    ):
        child.ask({"do": "fly"}, 60)


def test_closing_leaves_no_process_and_no_thread(bare, image):
    threads = threading.active_count()
    session = IsolatedSession("ort", bare("onnx"))
    run_image(session, image)
    pid = pid_of(session)
    session.close()
    session.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert threading.active_count() == threads


def test_a_module_in_the_current_folder_does_not_stand_in_for_ours(bare, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    IsolatedSession("ort", bare("onnx")).close()


def test_a_runtime_that_does_not_open_the_format_is_refused(bare):
    with pytest.raises(UserError, match="does not open tflite"):
        IsolatedSession("ort", bare("tflite"))


def test_a_missing_runtime_names_its_extra(bare, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"lolvit\[litert\]"):
        IsolatedSession("litert", bare("tflite"))


def test_format_comes_from_the_name(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.onnx").mkdir()
    (tmp_path / "a.mlpackage").touch()
    for name, message in [
        ("absent.onnx", r"no such artifact; .* has a.mlpackage, a.onnx$"),
        ("absent/a.onnx", "no such artifact; check the path"),
        ("notes.txt", "is not an artifact"),
        ("a.onnx", "is a folder"),
        ("a.mlpackage", "not a folder"),
    ]:
        with pytest.raises(UserError, match=message):
            format_of(tmp_path / name)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_check_bare_tells_good_files_from_bad(format, bare, exported):
    assert check_bare(bare(format)) == format
    content = (exported / f"model-fp32.{format}").read_bytes()
    with pytest.raises(UserError, match="not a valid"):
        check_bare(bare(format, content[: len(content) // 3]))


@pytest.mark.slow
def test_check_bare_refuses_an_empty_core_ml_package(tmp_path):
    package = tmp_path / "model.mlpackage"
    package.mkdir()
    with pytest.raises(DeviceError, match=r"Manifest\.json"):
        check_bare(package)


def runs_or_is_one_line(runtime: str, path: Path) -> None:
    try:
        session = IsolatedSession(runtime, path, start_seconds=60, run_seconds=20)
        logits = run_image(session, np.zeros(session.inputs[0].shape, session.inputs[0].dtype))
        session.close()
    except LolvitError as error:
        assert "\n" not in str(error)
        assert error.exit_code in (2, 3)
    else:
        assert logits.shape == session.outputs[0].shape


@pytest.mark.parametrize("runtime", FORMATS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_file_runs_or_is_one_line(runtime, bare, exported, data):
    content = (exported / f"model-fp32.{FORMATS[runtime]}").read_bytes()
    runs_or_is_one_line(runtime, bare(FORMATS[runtime], data.draw(mutated(content))))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_mutated_files_run_or_are_one_line(runtime, bare, exported, data):
    content = (exported / f"model-fp32.{FORMATS[runtime]}").read_bytes()
    runs_or_is_one_line(runtime, bare(FORMATS[runtime], data.draw(mutated(content))))
