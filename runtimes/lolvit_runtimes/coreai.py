"""Core AI in Apple's own runtime: verifies numerical results, not speed.

On Linux it computes on the CPU with plain kernels; compute units can be chosen on macOS only. It
prints to standard output and ends the process on a damaged file, so it runs in a child process
(`table.RuntimeEntry.isolated`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from coreai.authoring import AIModelAsset
from coreai.runtime import NDArray

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.coreai_asset import check_asset
from lolvit_runtimes.native import Found, expect_inputs, expect_tensors, opening, reason
from lolvit_runtimes.session import Array

FUNCTION = "main"
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError, ValueError, KeyError, TypeError, OSError,
)  # fmt: skip


class CoreAISession:
    """A Core AI artifact in Apple's runtime.

    The runtime chooses its number of threads, which can't be set.
    """

    runtime = "coreai"
    version = version("coreai-core")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Compile and load the artifact.

        Raises:
            DeviceError: it is damaged, Core AI can't load it, or its tensors do not match the
                manifest.
        """
        del threads  # the runtime has no such option
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        self._function = Function(path)
        inputs, outputs = self._function.interface()
        expect_tensors(path, "input", self._inputs, inputs)
        expect_tensors(path, "output", self._outputs, outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or Core AI failed.
        """
        expect_inputs(inputs, self._inputs)
        given = {spec.name: NDArray(inputs[spec.name]) for spec in self._inputs}
        try:
            results = self._function.call(given)
            return {spec.name: np.array(results[spec.name].numpy()) for spec in self._outputs}
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"Core AI failed: {reason(error)}") from error

    def placement(self) -> dict[str, int]:
        """Return {}: the runtime does not report it on this system."""
        return {}

    def options(self) -> dict[str, str]:
        """Return that Core AI chooses its threads."""
        return {"threads": "chosen by Core AI"}

    def close(self) -> None:
        """Free the model."""
        self._function.close()


class Function:
    """The main function of an artifact, compiled and loaded. Its interface is asynchronous; here
    every call waits for its result."""

    def __init__(self, path: Path) -> None:
        """Compile and load it.

        Raises:
            DeviceError: the artifact is damaged, or Core AI can't load it.
        """
        check_asset(path)
        self._loop = asyncio.new_event_loop()
        with opening("Core AI", path, RUNTIME_ERRORS):
            self._function = self._loop.run_until_complete(_load(path))

    def interface(self) -> tuple[list[Found], list[Found]]:
        """Return name, shape and element type of each input and each output, in their order. An
        unknown extent is None."""
        about = self._function.desc
        inputs = {name: about.input_descriptor(name) for name in about.input_names}
        outputs = {name: about.output_descriptor(name) for name in about.output_names}
        return _found(inputs), _found(outputs)

    def call(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return the outputs by name.

        Raises:
            RuntimeError: an input is missing or does not match, or an operation failed.
        """
        results: dict[str, NDArray] = self._loop.run_until_complete(self._function(dict(inputs)))
        return results

    def close(self) -> None:
        """Free it."""
        del self._function
        self._loop.close()


async def _load(path: Path) -> Any:
    """Compile an artifact into a temporary folder, load its function, and remove the folder at
    once: the function maps its files, and a process that is killed later leaves nothing behind."""
    async with AIModelAsset.load(path).executable() as model:
        return model.load_function(FUNCTION)


def _found(descriptors: Mapping[str, Any]) -> list[Found]:
    return [(name, tuple(each.shape), each.dtype) for name, each in descriptors.items()]


def interface(path: Path) -> tuple[list[Found], list[Found]]:
    """Return the inputs and outputs of an artifact, as `Function.interface` does.

    Raises:
        DeviceError: it is damaged, or Core AI can't load it.
    """
    function = Function(path)
    try:
        return function.interface()
    finally:
        function.close()
