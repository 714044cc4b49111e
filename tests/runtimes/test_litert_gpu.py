"""LiteRT's GPU accelerator: placement, numerical results, and the error for a missing driver."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import DeviceError
from lolvit_runtimes import vulkan
from lolvit_runtimes.worker.isolated import IsolatedSession
from tests.sessions import run_eager, run_image

needs_vulkan = pytest.mark.skipif(not vulkan.ready(), reason=f"no Vulkan driver: {vulkan.REMEDY}")


@pytest.fixture
def no_vulkan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Linux machine with neither a GPU nor a browser."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(vulkan, "has_gpu", lambda: False)
    monkeypatch.setattr(vulkan, "_FOLDERS", (str(tmp_path),))
    for name in vulkan._VARIABLES:
        monkeypatch.delenv(name, raising=False)


@needs_vulkan
@pytest.mark.slow
def test_the_gpu_gives_what_eager_gives_and_runs_every_operation(exported, manifest, image, tiny):
    artifact = manifest.find("tflite", "fp32")
    session = IsolatedSession("litert-gpu", exported / artifact.path, artifact)
    np.testing.assert_allclose(run_image(session, image), run_eager(tiny, image), atol=2e-5)
    assert set(session.placement()) == {"GPU"}
    assert session.options()["arithmetic"] == "float32"
    session.close()


@pytest.mark.usefixtures("no_vulkan")
def test_a_missing_driver_is_an_error_with_a_remedy() -> None:
    assert not vulkan.ready()
    with pytest.raises(DeviceError, match="no Vulkan driver") as caught:
        vulkan.choose_driver()
    assert "apt install" in caught.value.remedy


@pytest.mark.usefixtures("no_vulkan")
def test_swiftshader_is_taken_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: "libvulkan.so.1")
    (tmp_path / "vk_swiftshader_icd.json").write_text("{}")
    monkeypatch.setenv("VK_ICD_FILENAMES", "")
    monkeypatch.setenv("VK_DRIVER_FILES", "")
    assert vulkan.in_software()
    vulkan.choose_driver()
    assert os.environ["VK_ICD_FILENAMES"] == str(tmp_path / "vk_swiftshader_icd.json")


@pytest.mark.usefixtures("no_vulkan")
def test_a_driver_that_the_user_named_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/some/driver.json")
    vulkan.choose_driver()
    assert not vulkan.in_software()
