"""ONNX Runtime and LiteRT on emulated phone processors: numbers of the kernels that phones run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.arm64_emulator import Emulator, command
from lolvit_runtimes.arm64_parts import CORES, Core, emulator, installed, place
from lolvit_runtimes.native import expect_image, expect_spec
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.wire import Message


class Arm64Session:
    """An artifact in a runtime's build for aarch64, on an emulated core."""

    runtime: str
    inside: ClassVar[str]  # the runtime's name in `arm64_guest.RUNTIMES`
    core: ClassVar[Core]

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Start the emulator and load the artifact in it.

        Raises:
            UserError: the emulator or the runtimes for it are not installed.
            DeviceError: the runtime refused it, or its tensors are not what the manifest says.
        """
        installed()
        self._path, self._threads = path.resolve(), threads
        self._input, self._output = artifact.input, artifact.output
        self._emulator = Emulator(command(emulator(), self.core, place(), self.inside), self.core)
        self.version = self._emulator.version
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        output = {"shape": self._output.shape, "dtype": self._output.dtype}
        request = {
            "do": "open", "path": str(self._path), "threads": self._threads, "output": output,
        }  # fmt: skip
        found, _ = self._emulator.ask(request, str(self._path))
        for what, spec in (("input", self._input), ("output", self._output)):
            tensor = self._tensor(found, what)
            expect_spec(self._path, what, spec, tensor.get("shape"), str(tensor.get("dtype")))

    def _tensor(self, found: Message, what: str) -> Message:
        tensor = found.get(what)
        if not isinstance(tensor, dict):
            raise DeviceError("the emulator gave a senseless answer", where=str(self._path))
        return tensor

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the input is not what the artifact takes, or the runtime failed.
        """
        expect_image(image, self._input)
        _, logits = self._emulator.ask({"do": "run"}, str(self._path), image)
        if logits is None or logits.shape != self._output.shape:
            raise DeviceError("the emulator gave a senseless answer", where=str(self._path))
        return logits.astype(np.float32, copy=False)

    def placement(self) -> dict[str, int]:
        """Return nothing: an emulator is no place to tell of."""
        return {}

    def options(self) -> dict[str, str]:
        """Return the emulated core and its instructions, and the number of threads."""
        return {
            "core": self.core.name,
            "instructions": " ".join(self._emulator.instructions),
            "emulated": "yes",
            "threads": str(self._threads),
        }

    def close(self) -> None:
        """End the emulator."""
        self._emulator.close()


class OrtA76(Arm64Session):
    """ONNX Runtime on a Cortex-A76."""

    runtime, inside, core = "ort-arm64-a76", "ort", CORES["a76"]


class OrtI8mm(Arm64Session):
    """ONNX Runtime on a core with int8 matrix instructions."""

    runtime, inside, core = "ort-arm64-i8mm", "ort", CORES["i8mm"]


class LiteRTA76(Arm64Session):
    """LiteRT on a Cortex-A76."""

    runtime, inside, core = "litert-arm64-a76", "litert", CORES["a76"]


class LiteRTI8mm(Arm64Session):
    """LiteRT on a core with int8 matrix instructions."""

    runtime, inside, core = "litert-arm64-i8mm", "litert", CORES["i8mm"]
