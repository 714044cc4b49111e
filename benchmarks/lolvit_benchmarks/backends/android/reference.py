"""An artifact on this computer before a phone times it: whether its activations are denormal, and
the logits that the phone's have to agree with.

Run as a module it answers in a process of its own, which a crash of a runtime would take down.
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
from lolvit_benchmarks.harness.inspection import refuse_denormals, share_of_artifact
from lolvit_runtimes.agreement import snr_db
from lolvit_runtimes.session import open_session

# In dB, of the same artifact and input in the same runtime on two processors: kernels and the order
# of sums differ. A GPU that computes in fp16 is a precision of its own.
FLOORS = {"fp32": 90.0, "fp16": 45.0, "w8a16": 28.0, "int8": 20.0, "w4": 20.0}


class References:
    """What was found on this computer, once for all phones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str, bytes], dict[str, Any]] = {}

    def check(self, runtime: str, one: Candidate) -> float | None:
        """Refuse an artifact whose time would mean nothing; return its share of denormals.

        Raises:
            UserError: its activations are denormal, or its file was changed.
            DeviceError: the runtime failed on it here.
        """
        share: float | None = self._of(runtime, one)["denormal_share"]
        refuse_denormals(share, where=str(one.prepared.folder / one.artifact.path))
        return share

    def agreement_db(self, runtime: str, one: Candidate, logits: tuple[float, ...]) -> float:
        """Return how near a phone's logits are to those of this computer.

        Raises:
            DeviceError: they are too far: what was timed was not the model.
        """
        here = np.asarray(self._of(runtime, one)["logits"], np.float64)
        there: npt.NDArray[np.float64] = np.asarray(logits, np.float64)
        floor = FLOORS[one.artifact.precision]
        found = snr_db(here, there) if here.shape == there.shape else -300.0
        if found < floor:
            raise DeviceError(
                f"{one.name}: the phone's logits are {found:.1f} dB from this computer's, floor "
                f"{floor:g}: its time would be that of a wrong model",
                remedy="compare the runtimes' versions",
            )
        return found

    def _of(self, runtime: str, one: Candidate) -> dict[str, Any]:
        key = (runtime, one.artifact.sha256, one.image.tobytes())
        with self._lock:  # phones that come second wait for the first one's answer
            if key not in self._found:
                self._found[key] = run_on_image(
                    "lolvit_benchmarks.backends.android.reference",
                    runtime,
                    one.prepared.folder,
                    one.artifact,
                    1,
                    one.image,
                    what=f"{runtime} with {one.artifact.path}",
                )
            return self._found[key]


def _document(arguments: list[str]) -> dict[str, Any]:
    runtime, folder, name, threads, image_path = arguments
    artifact = next(a for a in read_manifest(Path(folder)).artifacts if a.path == name)
    path, image = check_artifact(Path(folder), artifact), np.load(image_path)
    share = share_of_artifact(path, artifact.format, image)
    with closing(open_session(runtime, path, artifact, threads=int(threads))) as session:
        logits = np.asarray(session.run(image), np.float64).ravel()
    if not np.isfinite(logits).all():
        raise DeviceError("gives logits that are not finite", where=str(path))
    return {"denormal_share": share, "logits": logits.tolist()}


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
