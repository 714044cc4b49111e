"""Qualcomm's HTP in the emulator of its compiler: verifies numerical results, not speed."""

from __future__ import annotations

from pathlib import Path

from lolvit.manifest import Artifact
from lolvit_runtimes.native import opening
from lolvit_runtimes.ort import RUNTIME_ERRORS, OrtSession, expect_onnx
from lolvit_runtimes.qnn_provider import VERSION, placement_of, qnn_session
from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_soc


class QnnSession(OrtSession):
    """A `qnn` artifact on the emulated HTP, without CPU fallback.

    A portable artifact is compiled for the default SoC first; a context binary is run directly. The
    emulator runs binaries of any SoC; the manifest records which SoC a binary is for.
    """

    runtime = "qnn"
    version = VERSION
    library = "Qualcomm's HTP emulator"

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: the emulator can't open it, HTP does not support an operation, or its
                tensors do not match the manifest.
        """
        self._soc = find_soc((artifact.htp and artifact.htp.soc) or DEFAULT_SOC)
        self._inputs, self._threads = artifact.inputs, threads
        self._names = [spec.name for spec in artifact.outputs]
        with opening(self.library, path, RUNTIME_ERRORS):
            self._session = qnn_session(path, self._soc)
        expect_onnx(path, self._session, artifact)

    def placement(self) -> dict[str, int]:
        """Return the number of operations on HTP and elsewhere."""
        return placement_of(self._session)

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with."""
        return {
            "soc": self._soc.id,
            "threads": str(self._threads),
            "emulated": "yes",
            "processor_fallback": "disabled",
        }
