"""Checks on this computer before a phone times an artifact: its share of denormal activations, and
the reference logits for the phone's.

Run as a module it computes both in a child process, so that a crash of a runtime is contained.
"""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit.errors import DeviceError
from lolvit.manifest import check_artifact, read_manifest
from lolvit_benchmarks.harness.candidates import Candidate
from lolvit_benchmarks.harness.child import answer, run_on_image
from lolvit_benchmarks.harness.inspection import check_denormals, share_of_artifact
from lolvit_runtimes.session import open_session
from lolvit_runtimes.snr import snr_db

# Same artifact, input and runtime on two processors: kernels and summation order differ. A GPU that
# computes in fp16 counts as a precision of its own.
SNR_THRESHOLDS_DB = {"fp32": 90.0, "fp16": 45.0, "w8a16": 28.0, "int8": 20.0, "w4": 20.0}


class References:
    """Results of the checks on this computer, shared by all phones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[tuple[str, str, bytes], dict[str, Any]] = {}

    def check(self, runtime: str, candidate: Candidate) -> float | None:
        """Check an artifact's activations; return its share of denormals, or None if unknown.

        Raises:
            UserError: the activations are denormal, or the file was changed.
            DeviceError: the runtime failed on this computer.
        """
        share: float | None = self._reference(runtime, candidate)["denormal_share"]
        check_denormals(share, where=str(candidate.prepared.folder / candidate.artifact.path))
        return share

    def require_agreement(
        self, runtime: str, candidate: Candidate, logits: tuple[float, ...]
    ) -> float:
        """Return the SNR in dB of a phone's logits against those of this computer.

        Raises:
            DeviceError: it is below the precision's threshold, or the number of logits differs.
        """
        expected = np.asarray(self._reference(runtime, candidate)["logits"], np.float64)
        received: npt.NDArray[np.float64] = np.asarray(logits, np.float64)
        artifact = candidate.artifact
        threshold = artifact.device_threshold_db(SNR_THRESHOLDS_DB[artifact.precision])
        found = snr_db(expected, received) if expected.shape == received.shape else -300.0
        if found < threshold:
            raise DeviceError(
                f"{candidate.name}: the SNR of the phone's logits against this computer's is "
                f"{found:.1f} dB, threshold {threshold:g} dB: the phone computes another model",
                remedy="compare the versions of the runtime",
            )
        return found

    def _reference(self, runtime: str, candidate: Candidate) -> dict[str, Any]:
        key = (runtime, candidate.artifact.sha256, candidate.image.tobytes())
        with self._lock:  # further phones wait for the first one's result
            if key not in self._results:
                self._results[key] = run_on_image(
                    "lolvit_benchmarks.backends.android.reference",
                    runtime,
                    candidate.prepared.folder,
                    candidate.artifact,
                    1,
                    candidate.image,
                    what=f"{runtime} with {candidate.artifact.path}",
                )
            return self._results[key]


def _document(arguments: list[str]) -> dict[str, Any]:
    runtime, folder, name, threads, image_path = arguments
    artifact = next(a for a in read_manifest(Path(folder)).artifacts if a.path == name)
    path, image = check_artifact(Path(folder), artifact), np.load(image_path)
    share = share_of_artifact(path, artifact.format, image)
    with closing(open_session(runtime, path, artifact, threads=int(threads))) as session:
        outputs = session.run({artifact.image.name: image})
        logits = np.asarray(outputs[artifact.outputs[0].name], np.float64).ravel()
    if not np.isfinite(logits).all():
        raise DeviceError("logits are not finite", where=str(path))
    return {"denormal_share": share, "logits": logits.tolist()}


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
