"""Core ML on a Mac, by a recording of its calls; off a Mac, a line that says so."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import DeviceError
from lolvit_runtimes import coreml
from lolvit_runtimes.coreml import CoreMLSession, to_photo
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.session import open_session
from tests.runtimes.coreml_packages import Formula, capture, describe, save
from tests.sessions import run_image

SHAPE, OUTPUTS = (1, 3, 6, 8), (1, 3)


class RecordedModel:
    """What coremltools 9 documents of MLModel: built with a path and compute units, predicts a
    dictionary of outputs from a dictionary of inputs."""

    made: list[tuple[str, Any]]
    inputs: list[dict[str, Any]]
    outputs: dict[str, np.ndarray]

    def __init__(self, model: str, *, compute_units: ct.ComputeUnit) -> None:
        self.made.append((model, compute_units))

    def predict(self, data: dict[str, Any]) -> dict[str, np.ndarray]:
        self.inputs.append(data)
        return self.outputs


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("coreml") / "model.mlpackage"
    return save(capture(Formula(lambda x: x.mean((2, 3))), SHAPE), "fp32", path)


@pytest.fixture
def mac(monkeypatch) -> type[RecordedModel]:
    """Pretend to be a Mac whose Core ML gives 0, 1, 2 as float64."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(coreml.coremltools.models, "MLModel", RecordedModel)
    RecordedModel.made, RecordedModel.inputs = [], []
    RecordedModel.outputs = {"logits": np.arange(3.0).reshape(OUTPUTS)}
    return RecordedModel


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is a Mac")
def test_off_a_mac_the_reference_is_named(package):
    with pytest.raises(DeviceError, match=r"a Mac only; .*'coreml-reference'"):
        open_session("coreml", package, describe(SHAPE, OUTPUTS))


def test_pixels_are_handed_over_as_an_rgb_image(package, mac):
    session = CoreMLSession(package, describe(SHAPE, OUTPUTS, meaning="pixels"))
    assert mac.made == [(str(package), ct.ComputeUnit.CPU_ONLY)]
    levels = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32)
    logits = run_image(session, levels)
    np.testing.assert_array_equal(logits, [[0, 1, 2]])
    assert logits.dtype == np.float32
    photo = mac.inputs[-1]["image"]
    assert (photo.mode, photo.size) == ("RGB", (8, 6))
    np.testing.assert_array_equal(np.asarray(photo).transpose(2, 0, 1), levels[0])


def test_normalized_input_is_handed_over_as_it_is(package, mac):
    image = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    run_image(CoreMLSession(package, describe(SHAPE, OUTPUTS)), image)
    assert list(mac.inputs[-1]) == ["image"]
    assert mac.inputs[-1]["image"] is image


def test_pixels_are_rounded_and_clipped():
    values = np.array([-3.0, 0.4, 0.6, 254.4, 254.6, 300.0], np.float32)
    image = np.broadcast_to(values, (1, 3, 1, 6))
    photo = to_photo(image)
    assert isinstance(photo, Image.Image)
    assert np.asarray(photo)[0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"other": np.zeros(OUTPUTS)}, "returned other, not 'logits'"),
        (
            {"logits": np.zeros((1, 4))},
            r"returned 'logits' of shape \(1, 4\), the manifest has \(1, 3\)",
        ),
    ],
)
def test_output_that_the_manifest_does_not_state_is_rejected(outputs, message, package, mac):
    mac.outputs = outputs
    with pytest.raises(DeviceError, match=message):
        CoreMLSession(package, describe(SHAPE, OUTPUTS))


@pytest.mark.parametrize(
    ("method", "message"), [("__init__", "cannot open"), ("predict", "failed")]
)
def test_an_error_of_core_ml_is_one_line(method, message, package, mac, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise Exception("Error compiling model:\nno such kernel")

    monkeypatch.setattr(mac, method, fail)
    with pytest.raises(
        DeviceError, match=f"Core ML {message}.*: Error compiling model: no such kernel"
    ):
        CoreMLSession(package, describe(SHAPE, OUTPUTS))


def test_damaged_package_is_rejected_before_core_ml_sees_it(tmp_path, mac):
    with pytest.raises(DeviceError, match=r"no Manifest\.json"):
        CoreMLSession(tmp_path, describe(SHAPE, OUTPUTS))
    assert mac.made == []


def test_options_say_that_core_ml_chooses_its_threads(package, mac):
    session = CoreMLSession(package, describe(SHAPE, OUTPUTS), threads=4)
    assert session.options() == {"compute_units": "CPU_ONLY", "threads": "chosen by Core ML"}
    assert session.placement() == {}
    session.close()


def test_importing_coremltools_loads_no_other_framework():
    check = (
        "import logging, sys; logging.basicConfig();"
        "from lolvit_runtimes.coreml_tools import coremltools, _UNUSED;"
        "print([name for name in (*_UNUSED, 'triton') if name in sys.modules]);"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"  # nothing loaded, and nothing left hidden
    assert done.stderr == ""
