"""TensorFlow's interpreter: verifies TFLite files again, in a process without PyTorch."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import DeviceError, MissingExtraError
from lolvit_runtimes.table import require_runtime
from lolvit_runtimes.worker.isolated import IsolatedSession, RuntimeProcess
from tests.sessions import run_eager, run_image

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow, 1.3 GB, is not installed; run: make tensorflow",
)


@pytest.fixture(scope="module")
def started() -> RuntimeProcess:
    """One child for the tests of this file: TensorFlow takes long to import."""
    with RuntimeProcess(Path("model.tflite")) as child:
        yield child


@needs_tensorflow
def test_logits_equal_eager_and_are_of_its_own_kernels(exported, manifest, image, tiny, started):
    artifact = manifest.find("tflite", "fp32")
    path = exported / artifact.path
    with closing(IsolatedSession("tensorflow", path, artifact, child=started)) as session:
        for scale in (1, 4, 0.25):
            expected = run_eager(tiny, image * np.float32(scale))
            found = run_image(session, image * np.float32(scale))
            np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)
        assert set(session.placement()) == {"builtin"}
        assert session.placement()["builtin"] >= 4
        assert session.options()["delegates"] == "none"
        assert session.version.startswith("2.")


@needs_tensorflow
def test_a_rejected_file_is_one_line_that_names_it(exported, manifest, tmp_path, started):
    artifact = manifest.find("tflite", "fp32")
    broken = tmp_path / "model.tflite"
    broken.write_bytes((exported / artifact.path).read_bytes()[:1000])
    with pytest.raises(DeviceError, match=r"model\.tflite: "):
        IsolatedSession("tensorflow", broken, artifact, child=started)


@needs_tensorflow
@pytest.mark.parametrize("bare", [False, True], ids=["export", "bare file"])
def test_predict_gives_what_litert_gives_without_torch(exported, tmp_path, run_lolvit, bare):
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    target, options = exported, ()
    if bare:
        target = Path(shutil.copy(exported / "model-fp32.tflite", tmp_path))
        options = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    home = tmp_path / "home"
    home.mkdir()
    environment = {n: v for n, v in os.environ.items() if n != "XDG_CACHE_HOME"}
    environment["HOME"] = str(home)
    found = {}
    for runtime in ("tensorflow", "litert"):
        arguments = ("predict", target, photo, "--runtime", runtime, "--json", *options)
        done = run_lolvit(*arguments, check=True, env=environment)
        found[runtime] = json.loads(done.stdout)
    assert {path.name for path in home.iterdir()} <= {".cache"}  # Keras wants a folder of its own
    assert found["tensorflow"]["runtime"] == "tensorflow"
    tops = [found[runtime]["predictions"][0]["top"] for runtime in ("tensorflow", "litert")]
    for ours, theirs in zip(*tops, strict=True):
        assert ours["index"] == theirs["index"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)


def test_it_rejects_a_process_with_torch():
    program = "import torch\nimport lolvit_runtimes.tensorflow"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("TensorFlow and PyTorch cannot share a process")


def test_where_it_is_missing_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lolvit\[tensorflow\]'"):
        require_runtime("tensorflow")
