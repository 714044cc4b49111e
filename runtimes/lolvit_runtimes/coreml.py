"""Core ML itself, on a Mac.

Untested on hardware: its tests replace coremltools' MLModel by a recording of the calls that
coremltools 9 documents.
"""

from __future__ import annotations

import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.coreml_tools import coremltools
from lolvit_runtimes.mil_package import read_package
from lolvit_runtimes.native import expect_image, reason
from lolvit_runtimes.session import FloatArray


class CoreMLSession:
    """A Core ML artifact in Core ML, on the CPU alone. Untested on hardware.

    Core ML chooses its number of threads itself and can't be told; `options` says so.
    """

    runtime = "coreml"
    compute_units = "CPU_ONLY"
    version: str = coremltools.__version__

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Compile and load the package.

        Raises:
            DeviceError: this is no Mac, the package is damaged, or Core ML refused it.
        """
        del threads  # nothing in Core ML's interface takes it
        if platform.system() != "Darwin":
            raise DeviceError(
                "Core ML runs on a Mac only",
                where=str(path),
                remedy="the runtime 'coreml-reference' checks the numbers here",
            )
        read_package(path)
        self._spec, self._logits = artifact.input, artifact.output
        self._model = _load(path, self.compute_units)
        # coremltools only warns when Core ML can't load a model; the first prediction tells.
        self.run(np.zeros(self._spec.shape, np.float32))

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image of shape (1, 3, H, W).

        An artifact that takes pixels is handed an RGB image, its pixels rounded to whole numbers
        and clipped to 0 to 255; any other is handed the array as it is.

        Raises:
            DeviceError: the input is not what the artifact takes, Core ML failed, or its output
                is not what the manifest says.
        """
        expect_image(image, self._spec)
        given = to_photo(image) if self._spec.values == "pixels" else image
        try:
            outputs = self._model.predict({self._spec.name: given})
        except Exception as error:  # Core ML's own errors arrive as plain Exception
            raise DeviceError(f"Core ML failed: {reason(error)}") from error
        return self._checked(outputs)

    def _checked(self, outputs: dict[str, Any]) -> FloatArray:
        if self._logits.name not in outputs:
            raise DeviceError(f"Core ML gave {', '.join(outputs)}, not '{self._logits.name}'")
        logits = np.asarray(outputs[self._logits.name], np.float32)
        if logits.shape != self._logits.shape:
            raise DeviceError(
                f"Core ML gave {logits.shape}, the manifest says {self._logits.shape}"
            )
        return logits

    def placement(self) -> dict[str, int]:
        """Return {}: which operations ran where, Core ML does not say here."""
        return {}

    def options(self) -> dict[str, str]:
        """Return the compute units, and that Core ML chooses its threads."""
        return {"compute_units": self.compute_units, "threads": "chosen by Core ML"}

    def close(self) -> None:
        """Free the model."""
        del self._model


def _load(path: Path, compute_units: str) -> Any:
    """Compile and load a package; how long that takes depends on the model, seconds or more."""
    units = coremltools.ComputeUnit[compute_units]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return coremltools.models.MLModel(str(path), compute_units=units)
    except Exception as error:  # Core ML's own errors arrive as plain Exception
        raise DeviceError(f"Core ML cannot open it: {reason(error)}", where=str(path)) from error


def to_photo(pixels: FloatArray) -> Image.Image:
    """Return pixels 0 to 255 of shape (1, 3, H, W) as an RGB image of height H and width W."""
    levels = np.clip(np.rint(pixels[0]), 0, 255).astype(np.uint8)  # (3, H, W)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))  # (H, W, 3)
