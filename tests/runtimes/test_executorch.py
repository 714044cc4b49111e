"""ExecuTorch gives what eager PyTorch gives, with the threads it says, and refuses in one line."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit.manifest import Artifact, read_manifest
from lolvit_runtimes.executorch import ExecuTorchSession
from lolvit_runtimes.flatbuffer import FlatbufferError
from lolvit_runtimes.pte import check_pte, check_pte_bytes, placement_of
from lolvit_runtimes.session import open_session
from lolvit_runtimes.worker.isolated import IsolatedSession, check_bare
from tests.runtimes.mutations import mutated, overwritten
from tests.sessions import run_eager, run_image


@pytest.fixture(scope="module")
def artifact(torch_exported: Path) -> Artifact:
    found = read_manifest(torch_exported).find("executorch", "fp32")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def program(torch_exported: Path) -> Path:
    return torch_exported / "model-fp32.pte"


@pytest.fixture
def bare(program: Path, tmp_path: Path):
    """Write content to a folder without a manifest."""

    def write(content: bytes) -> Path:
        path = tmp_path / "elsewhere.pte"
        path.write_bytes(content)
        return path

    return write


def test_logits_equal_eager(program, artifact, image, tiny):
    found = open_session("executorch", program, artifact)
    for scale in (1, 4, 0.25):  # the second and third run reuse the first one's buffers
        logits = run_image(found, image * np.float32(scale))
        expected = run_eager(tiny, image * np.float32(scale))
        assert logits.shape == (1, 10) and logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=2e-5, rtol=1e-5)
    found.close()


def test_a_result_survives_the_next_run(program, artifact, image):
    found = open_session("executorch", program, artifact)
    first = run_image(found, image)
    kept = first.copy()
    run_image(found, -image)
    np.testing.assert_array_equal(first, kept)
    found.close()


def test_xnnpack_takes_every_operation(program, artifact):
    found = open_session("executorch", program, artifact)
    assert set(found.placement()) == {"XNNPACK"}
    assert found.placement()["XNNPACK"] >= 4
    assert found.options() == {"delegate": "XNNPACK", "threads": "1"}
    found.close()


def test_another_number_of_threads_waits_for_the_open_session_to_close(program, artifact, image):
    first = ExecuTorchSession(program, artifact, threads=1)
    with pytest.raises(DeviceError, match="one thread pool per process") as caught:
        ExecuTorchSession(program, artifact, threads=2)
    assert "\n" not in str(caught.value)
    expected = run_image(first, image)
    first.close()
    second = ExecuTorchSession(program, artifact, threads=2)
    assert second.options()["threads"] == "2"
    np.testing.assert_allclose(run_image(second, image), expected, atol=2e-5)
    second.close()


BUSY_CORES = """
import sys, time
from pathlib import Path
import numpy as np
from lolvit.manifest import read_manifest
from lolvit_runtimes.session import open_session
folder = Path(sys.argv[1])
artifact = read_manifest(folder).find("executorch", "fp32")
session = open_session("executorch", folder / artifact.path, artifact, threads=1)
image = np.zeros(artifact.image.shape, np.float32)
for _ in range(100):
    session.run({"image": image})
wall, busy = time.perf_counter(), time.process_time()
for _ in range(5000):
    session.run({"image": image})
print((time.process_time() - busy) / (time.perf_counter() - wall))
print("executorch.exir" in sys.modules)
"""


def test_one_thread_keeps_one_core_busy_without_the_exporter_and_in_silence(torch_exported):
    command = [sys.executable, "-c", BUSY_CORES, str(torch_exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cores, exporter_is_loaded = done.stdout.split()
    assert float(cores) < 1.05
    assert exporter_is_loaded == "False"
    assert done.stderr == ""


def test_a_manifest_that_states_another_shape_is_rejected(program, artifact):
    wrong = artifact.image.model_copy(update={"shape": (1, 3, 16, 16)})
    forged = artifact.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(DeviceError, match=r"its manifest has float32 \(1, 3, 16, 16\)"):
        open_session("executorch", program, forged)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3, 16, 16), np.float32), np.zeros((1, 3, 32, 32))])
def test_a_wrong_input_is_a_device_error_of_one_line(wrong, program, artifact):
    found = open_session("executorch", program, artifact)
    with pytest.raises(DeviceError) as caught:
        run_image(found, wrong)
    assert "\n" not in str(caught.value)


def test_a_rejected_file_is_a_device_error_of_one_line(program, artifact, bare):
    with pytest.raises(DeviceError, match="ExecuTorch cannot open it") as caught:
        open_session("executorch", bare(program.read_bytes()[:64]), artifact)
    assert "\n" not in str(caught.value)


def test_a_bare_file_describes_its_tensors_and_runs_in_a_child(program, artifact, bare, image):
    path = bare(program.read_bytes())
    assert check_bare(path) == "executorch"
    there = IsolatedSession("executorch", path)
    assert (there.inputs[0].shape, there.inputs[0].layout) == ((1, 3, 32, 32), "NCHW")
    assert there.outputs[0].shape == (1, 10)
    here = open_session("executorch", program, artifact)
    np.testing.assert_array_equal(run_image(there, image), run_image(here, image))
    assert there.placement() == here.placement()
    there.close()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_bare_file_never_reaches_a_child(share, program, bare, monkeypatch):
    monkeypatch.setattr("lolvit_runtimes.worker.isolated.RuntimeProcess", None)
    content = program.read_bytes()
    path = bare(content[: int(len(content) * share)])
    for refuse in (check_pte, check_bare, lambda path: IsolatedSession("executorch", path)):
        with pytest.raises(UserError, match="not a valid ExecuTorch file") as caught:
            refuse(path)
        assert "\n" not in str(caught.value)


def test_a_mutated_file_is_read_or_rejected(program):
    content, generator = program.read_bytes(), random.Random(0)
    for _ in range(2000):
        damaged = overwritten(content[:6000], generator) + content[6000:]
        for read in (check_pte_bytes, placement_of):
            try:
                read(damaged)
            except FlatbufferError as error:
                assert "\n" not in str(error)


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_file_runs_or_is_one_line(program, bare, data):
    path = bare(data.draw(mutated(program.read_bytes())))
    try:
        session = IsolatedSession("executorch", path, start_seconds=60, run_seconds=20)
        logits = run_image(session, np.zeros(session.inputs[0].shape, session.inputs[0].dtype))
        session.close()
    except LolvitError as error:
        assert "\n" not in str(error)
        assert error.exit_code in (2, 3)
    else:
        assert logits.shape == session.outputs[0].shape
