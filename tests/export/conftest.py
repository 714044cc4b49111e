"""What the tests of this folder share: one real export, small, and a network to quantize."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lolvit.manifest import Artifact, Manifest, read_manifest
from lolvit_export.quantization.evaluator import Evaluator
from lolvit_export.quantization.images import Images
from tests.export import small_net
from tests.export.requests import export, request
from tests.made_once import made_once


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """The search for int8 times each candidate for a tenth of a second here: which one is the
    fastest is a benchmark's question, and these seconds were a fifth of a search's."""
    speed = Evaluator.speed

    def briefly(
        self: Evaluator, path: Path, artifact: Artifact, seconds: float = 0.1
    ) -> float | None:
        return speed(self, path, artifact, min(seconds, 0.1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "speed", briefly)
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """LOLViT-XX at 64x96, untrained, in every format and precision."""

    def make(out: Path) -> None:
        folder, manifest = export(
            request(
                out,
                targets=("onnx", "tflite", "coreml"),
                precisions=("fp32", "fp16"),
                size=(64, 96),
            )
        )
        assert read_manifest(folder) == manifest

    folder = made_once(tmp_path_factory, "lolvit-xx", make) / "lolvit_xx-64x96"
    return folder, read_manifest(folder)


@pytest.fixture(scope="session")
def model() -> small_net.SmallNet:
    """The network that quantizers are tried on, trained. Change a copy of it, never itself."""
    return small_net.trained()


@pytest.fixture(scope="session")
def images() -> Images:
    """Digits to quantize that network with."""
    return small_net.images()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the artifacts of one file of tests."""
    return tmp_path_factory.mktemp("artifacts")
