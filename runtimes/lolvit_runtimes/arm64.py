"""ONNX Runtime and LiteRT on emulated Arm cores: the numerical results of the kernels of phones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lolvit.manifest import Artifact
from lolvit_runtimes.arm64_emulator import Emulator, command
from lolvit_runtimes.arm64_parts import CORES, Core, emulator, install_folder, read_inventory
from lolvit_runtimes.native import Found, expect_inputs, expect_tensors
from lolvit_runtimes.session import Array
from lolvit_runtimes.worker.wire import Message


class Arm64Session:
    """An artifact in a runtime's aarch64 build, on an emulated core."""

    runtime: str
    inside: ClassVar[str]  # the runtime's name in `arm64_guest.RUNTIMES`
    core: ClassVar[Core]

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Start the emulator and load the artifact in it.

        Raises:
            UserError: the emulator or the runtimes for it are not installed.
            DeviceError: the runtime can't open it, or its tensors do not match the manifest.
        """
        read_inventory()
        self._path, self._threads = path.resolve(), threads
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        self._emulator = Emulator(
            command(emulator(), self.core, install_folder(), self.inside), self.core
        )
        self._emulator.where = str(self._path)
        self.version = self._emulator.version
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        outputs = {s.name: {"shape": s.shape, "dtype": s.dtype} for s in self._outputs}
        request = {
            "do": "open", "path": str(self._path), "threads": self._threads, "outputs": outputs,
        }  # fmt: skip
        found, _ = self._emulator.ask(request)
        for what, specs in (("input", self._inputs), ("output", self._outputs)):
            expect_tensors(self._path, what, specs, self._tensors(found, f"{what}s"))

    def _tensors(self, found: Message, what: str) -> list[Found]:
        tensors = found.get(what)
        if not isinstance(tensors, dict) or not all(isinstance(t, dict) for t in tensors.values()):
            raise self._emulator.invalid_response()
        return [(name, each.get("shape"), str(each.get("dtype"))) for name, each in tensors.items()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or the runtime failed.
        """
        expect_inputs(inputs, self._inputs)
        _, results = self._emulator.ask({"do": "run"}, arrays=inputs)
        if {name: array.shape for name, array in results.items()} != {
            spec.name: spec.shape for spec in self._outputs
        }:
            raise self._emulator.invalid_response()
        return results

    def placement(self) -> dict[str, int]:
        """Return {}: the emulated runtimes do not report placement."""
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
