"""Qualcomm's HTP, played by the emulator that its compiler comes with: numbers, not speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_image, expect_spec, opening, reason
from lolvit_runtimes.ort import REFUSALS, element_type
from lolvit_runtimes.qnn_provider import VERSION, placement_of, qnn_session
from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_soc
from lolvit_runtimes.session import FloatArray


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
        self._spec, self._threads = artifact.input, threads
        with opening("Qualcomm's HTP emulator", path, REFUSALS):
            self._session = qnn_session(path, self._soc)
            image, logits = self._session.get_inputs()[0], self._session.get_outputs()[0]
        for what, spec, node in (
            ("input", artifact.input, image),
            ("output", artifact.output, logits),
        ):
            expect_spec(path, what, spec, node.shape, element_type(node.type))
        self._names = image.name, logits.name

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the input is not what the artifact takes, or the emulator failed.
        """
        expect_image(image, self._spec)
        fed, given = self._names
        try:
            logits: FloatArray = self._session.run([given], {fed: image})[0]
        except REFUSALS as error:
            raise DeviceError(f"Qualcomm's HTP emulator failed: {reason(error)}") from error
        return logits.astype(np.float32, copy=False)

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
