"""Qualcomm's HTP, played by the emulator that its compiler comes with: numbers, not speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_inputs, opening, reason
from lolvit_runtimes.ort import RUNTIME_ERRORS, expect_onnx
from lolvit_runtimes.qnn_provider import VERSION, placement_of, qnn_session
from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_soc
from lolvit_runtimes.session import Array


class QnnSession:
    """A `qnn` artifact on the emulated HTP, nothing of it on the processor.

    A portable one is compiled for the default SoC first; a context binary is run as it is. The
    emulator runs binaries of any SoC: that one fits a chip is what its manifest says.
    """

    runtime = "qnn"
    version = VERSION

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: the emulator refused it, HTP does not take an operation, or its tensors
                are not what the manifest says.
        """
        self._soc = find_soc((artifact.htp and artifact.htp.soc) or DEFAULT_SOC)
        self._inputs, self._threads = artifact.inputs, threads
        self._names = [spec.name for spec in artifact.outputs]
        with opening("Qualcomm's HTP emulator", path, RUNTIME_ERRORS):
            self._session = qnn_session(path, self._soc)
        expect_onnx(path, self._session, artifact)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, as `Session.run` says.

        Raises:
            DeviceError: an input is not what the artifact takes, or the emulator failed.
        """
        expect_inputs(inputs, self._inputs)
        try:
            results = self._session.run(self._names, dict(inputs))
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"Qualcomm's HTP emulator failed: {reason(error)}") from error
        return dict(zip(self._names, results, strict=True))

    def placement(self) -> dict[str, int]:
        """Return how many operations run on HTP, and how many elsewhere."""
        return placement_of(self._session)

    def options(self) -> dict[str, str]:
        """Return what the session was opened with."""
        return {
            "soc": self._soc.id,
            "threads": str(self._threads),
            "emulated": "yes",
            "processor_fallback": "disabled",
        }

    def close(self) -> None:
        """Free the session."""
        del self._session
