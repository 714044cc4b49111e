"""Every runtime gives what eager PyTorch gives, says how it was opened, and refuses in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import DeviceError, MissingExtraError, UserError
from lolvit.manifest import Manifest
from lolvit_runtimes import session
from lolvit_runtimes.litert import count_delegated
from lolvit_runtimes.session import open_session
from tests.sessions import run_eager, run_image

FORMATS = {"ort": "onnx", "litert": "tflite", "openvino": "onnx", "litert-reference": "tflite"}
PLACES = {
    "ort": "CPUExecutionProvider",
    "litert": "XNNPACK",
    "openvino": "CPU f32",
    "litert-reference": "reference",
}


def opened(runtime: str, folder: Path, manifest: Manifest, threads: int = 1) -> session.Session:
    artifact = manifest.find(FORMATS[runtime], "fp32")
    return open_session(runtime, folder / artifact.path, artifact, threads=threads)


@pytest.mark.parametrize("runtime", FORMATS)
@pytest.mark.parametrize("threads", [1, 2])
def test_logits_equal_eager(runtime, threads, exported, manifest, image, tiny):
    expected = run_eager(tiny, image)
    found = opened(runtime, exported, manifest, threads)
    for scale in (1, 4, 0.25):  # the second and third run reuse the first one's buffers
        logits = run_image(found, image * np.float32(scale))
        expected = run_eager(tiny, image * np.float32(scale))
        assert logits.shape == (1, 10)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("runtime", FORMATS)
def test_a_result_survives_the_next_run(runtime, exported, manifest, image):
    found = opened(runtime, exported, manifest)
    first = run_image(found, image)
    kept = first.copy()
    run_image(found, -image)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("runtime", FORMATS)
def test_placement_counts_every_operation(runtime, exported, manifest):
    placement = opened(runtime, exported, manifest).placement()
    assert set(placement) == {PLACES[runtime]}
    assert placement[PLACES[runtime]] >= 4


@pytest.mark.parametrize("runtime", FORMATS)
def test_options_name_the_threads(runtime, exported, manifest):
    assert opened(runtime, exported, manifest, threads=2).options()["threads"] == "2"


FROM_ONE_CORE_TO_TWO = """
import os, sys
from pathlib import Path
from lolvit.manifest import read_manifest
from lolvit_runtimes.session import open_session
artifact = read_manifest(Path(sys.argv[2])).find(sys.argv[3], "fp32")
path = Path(sys.argv[2]) / artifact.path
cores = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(cores)})
one = open_session(sys.argv[1], path, artifact, threads=1)
print(one.options()["threads"], *os.sched_getaffinity(0) - {min(cores)})
os.sched_setaffinity(0, cores)
print(open_session(sys.argv[1], path, artifact, threads=2).options()["threads"])
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system can't pin")
@pytest.mark.parametrize("runtime", FORMATS)
def test_a_process_kept_to_one_core_at_first_later_has_two_threads(runtime, exported):
    command = [sys.executable, "-c", FROM_ONE_CORE_TO_TWO, runtime, exported, FORMATS[runtime]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1", "2"]


COUNT_THREADS = """
import os, sys
from pathlib import Path
import numpy as np
from lolvit.manifest import read_manifest
from lolvit_runtimes.session import open_session
runtime, format, folder = sys.argv[1:4]
artifact = read_manifest(Path(folder)).find(format, "fp32")
counts = []
for threads in (1, 1, 3):  # the first session of a process may start threads of the runtime's own
    before = len(os.listdir("/proc/self/task"))
    session = open_session(runtime, Path(folder) / artifact.path, artifact, threads=threads)
    session.run({"image": np.zeros(artifact.image.shape, np.float32)})
    counts.append(len(os.listdir("/proc/self/task")) - before)
print(*counts[1:])
"""


BUSY_CORES = """
import sys, time
from pathlib import Path
import numpy as np
from lolvit.manifest import read_manifest
from lolvit_runtimes.session import open_session
artifact = read_manifest(Path(sys.argv[2])).find("onnx", "fp32")
path = Path(sys.argv[2]) / artifact.path
session = open_session(sys.argv[1], path, artifact, threads=int(sys.argv[3]))
image = np.zeros(artifact.image.shape, np.float32)
for _ in range(20):
    session.run({"image": image})
wall, busy = time.perf_counter(), time.process_time()
for _ in range(300):
    session.run({"image": image})
print((time.process_time() - busy) / (time.perf_counter() - wall))
"""


def test_openvino_with_one_thread_keeps_at_most_one_core_busy(exported):
    """Its pool of threads is started whatever the setting says, so they can't be counted."""
    command = [sys.executable, "-c", BUSY_CORES, "openvino", str(exported), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.05


FREED_BY_ANOTHER_THREAD = """
import signal, subprocess, sys, threading
from pathlib import Path
from lolvit.manifest import read_manifest
from lolvit_runtimes.session import open_session
received = []
signal.signal(signal.SIGCHLD, lambda *_: received.append(1))
artifact = read_manifest(Path(sys.argv[3])).find(sys.argv[2], "fp32")
kept = [open_session(sys.argv[1], Path(sys.argv[3]) / artifact.path, artifact)]
freeing = threading.Thread(target=kept.clear)
freeing.start()
freeing.join()
subprocess.run([sys.executable, "-c", ""], check=True)
print(len(received) > 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("runtime", FORMATS)
def test_signals_are_handled_after_another_thread_freed_the_session(runtime, exported):
    """As garbage collection does; faulthandler (-X) gives the thread its stack for signals."""
    command = [sys.executable, "-X", "faulthandler", "-c", FREED_BY_ANOTHER_THREAD]
    done = subprocess.run(
        [*command, runtime, FORMATS[runtime], str(exported)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_openvino_is_opened_without_its_telemetry():
    code = "import sys, lolvit_runtimes.openvino; print('openvino_telemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("runtime", ["ort", "litert"])
def test_threads_are_those_of_the_setting(runtime, exported):
    command = [sys.executable, "-c", COUNT_THREADS, runtime, FORMATS[runtime], str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "2"]  # the caller's thread is the first of each number
    assert done.stderr == ""  # and native chatter stays off standard error


@pytest.mark.parametrize("runtime", FORMATS)
def test_a_manifest_that_states_another_shape_is_rejected(runtime, exported, manifest):
    artifact = manifest.find(FORMATS[runtime], "fp32")
    wrong = artifact.image.model_copy(update={"shape": (1, 3, 16, 16)})
    forged = artifact.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(DeviceError, match=r"its manifest has float32 \(1, 3, 16, 16\)"):
        open_session(runtime, exported / artifact.path, forged)


@pytest.mark.parametrize("runtime", FORMATS)
@pytest.mark.parametrize("wrong", [np.zeros((1, 3, 16, 16), np.float32), np.zeros((1, 3, 32, 32))])
def test_a_wrong_input_is_a_device_error_of_one_line(runtime, wrong, exported, manifest):
    found = opened(runtime, exported, manifest)
    with pytest.raises(DeviceError) as caught:
        run_image(found, wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", ["ort", "openvino", "litert-reference"])
def test_a_rejected_file_is_a_device_error_of_one_line(runtime, exported, manifest, tmp_path):
    artifact = manifest.find(FORMATS[runtime], "fp32")
    broken = tmp_path / artifact.path
    broken.write_bytes((exported / artifact.path).read_bytes()[:64])
    with pytest.raises(DeviceError, match="cannot open it") as caught:
        open_session(runtime, broken, artifact)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_runtime_of_another_format_is_rejected(exported, manifest):
    artifact = manifest.find("onnx", "fp32")
    with pytest.raises(UserError, match="runtime 'litert' opens tflite, not onnx"):
        open_session("litert", exported / artifact.path, artifact)


def test_a_missing_runtime_names_its_extra(exported, manifest, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    artifact = manifest.find("onnx", "fp32")
    with pytest.raises(MissingExtraError, match=r"pip install 'lolvit\[ort\]'"):
        open_session("ort", exported / artifact.path, artifact)


def test_delegated_operations_lie_between_a_delegates_outputs_and_inputs():
    def op(index, name, inputs, outputs):
        return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}

    operations = [
        op(0, "CONV_2D", [0, 10], [1]),
        op(1, "RELU", [1, -1], [2]),
        op(2, "CUMSUM", [2], [3]),
        op(3, "CONV_2D", [3, 11], [4]),
        op(4, "DELEGATE", [0, 10], [2]),
        op(5, "DELEGATE", [3, 11], [4]),
    ]
    assert count_delegated(operations) == {"XNNPACK": 3, "LiteRT kernels": 1}
    assert count_delegated(operations[:4]) == {"LiteRT kernels": 4}
