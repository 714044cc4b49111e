"""Core ML itself, on a Mac.

Untested on hardware: its tests replace coremltools' MLModel by a recording of the calls that
coremltools 9 documents.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.coreml_tools import coremltools
from lolvit_runtimes.mil_package import read_package
from lolvit_runtimes.native import expect_inputs, reason
from lolvit_runtimes.session import Array


class CoreMLSession:
    """A Core ML artifact in Core ML, on the CPU alone. Untested on hardware.

    Core ML chooses its number of threads, which can't be set.
    """

    runtime = "coreml"
    compute_units = "CPU_ONLY"
    version: str = coremltools.__version__

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Compile and load the package.

        Raises:
            DeviceError: this is not a Mac, the package is damaged, or Core ML can't load it.
        """
        del threads  # Core ML's interface has no such option
        if platform.system() != "Darwin":
            raise DeviceError(
                "Core ML runs on a Mac only",
                where=str(path),
                remedy="use the runtime 'coreml-reference' to check numerical results",
            )
        read_package(path)
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        self._model = _load(path, self.compute_units)
        # coremltools only warns when Core ML can't load a model; the first prediction fails.
        self.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in self._inputs})

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or Core ML failed.
        """
        expect_inputs(inputs, self._inputs)
        given = {
            spec.name: to_photo(inputs[spec.name])
            if spec.meaning == "pixels"
            else inputs[spec.name]
            for spec in self._inputs
        }
        try:
            outputs = self._model.predict(given)
        except Exception as error:  # Core ML's own errors arrive as plain Exception
            raise DeviceError(f"Core ML failed: {reason(error)}") from error
        return {spec.name: _checked(outputs, spec) for spec in self._outputs}

    def placement(self) -> dict[str, int]:
        """Return {}: without a compute plan, the placement is unknown."""
        return {}

    def options(self) -> dict[str, str]:
        """Return the compute units, and that Core ML chooses its threads."""
        return {"compute_units": self.compute_units, "threads": "chosen by Core ML"}

    def close(self) -> None:
        """Free the model."""
        del self._model


def _load(path: Path, compute_units: str) -> Any:
    """Compile and load a package, which takes seconds or more."""
    units = coremltools.ComputeUnit[compute_units]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return coremltools.models.MLModel(str(path), compute_units=units)
    except Exception as error:  # Core ML's own errors arrive as plain Exception
        raise DeviceError(f"Core ML cannot open it: {reason(error)}", where=str(path)) from error


def _checked(outputs: Mapping[str, Any], spec: TensorSpec) -> Array:
    if spec.name not in outputs:
        raise DeviceError(f"Core ML returned {', '.join(outputs)}, not '{spec.name}'")
    found = np.asarray(outputs[spec.name], spec.dtype)
    if found.shape != spec.shape:
        raise DeviceError(
            f"Core ML returned '{spec.name}' of shape {found.shape}, the manifest has {spec.shape}"
        )
    return found


def to_photo(pixels: Array) -> Image.Image:
    """Return pixels 0 to 255 of shape (1, 3, H, W), or (1, 1, H, W), as an RGB or grey image of
    height H and width W, rounded to whole numbers."""
    levels = np.clip(np.rint(pixels[0].astype(np.float32)), 0, 255).astype(np.uint8)  # (C, H, W)
    if len(levels) == 1:
        return Image.fromarray(levels[0])
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))  # (H, W, C)
