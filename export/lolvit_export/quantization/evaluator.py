"""How good a quantized candidate is: its outputs on tuning images, and its speed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lolvit.manifest import Artifact, Preprocessing, Signature
from lolvit.tasks import Outputs, Task
from lolvit_export.quantization.timing import speedup
from lolvit_export.targets import find_target, runtimes_for
from lolvit_export.verification.comparison import (
    pooled_snr_db,
    worst_found_class_snr_db,
)
from lolvit_export.verification.reference import ReferenceData
from lolvit_export.verification.verifiers import run_photos
from lolvit_runtimes.preprocessing import Pixels, to_input
from lolvit_runtimes.session import Array, Session, open_session
from lolvit_runtimes.table import RUNTIMES


@dataclass(frozen=True)
class Score:
    """The SNR in dB over the outputs of all images together, of several outputs and of a detector's
    classes the lowest; how far the task's predictions agree with the reference's (1 where the task
    has none); by how many percentage points the accuracy is above eager's, None where it is
    unknown; and the task's other metrics that are below their thresholds, or where the task has
    none the outputs that are no better than the same ones for every image."""

    snr_db: float
    top1_agreement: float
    accuracy_change: float | None = None
    failed: tuple[str, ...] = ()


class Evaluator:
    """Compares candidates of one target with eager PyTorch's outputs, and with the speed of the
    artifact in floats (`base`). They are this process's own, so that they run in it."""

    def __init__(
        self,
        base_path: Path,
        base: Artifact,
        signature: Signature,
        task: Task,
        evidence: ReferenceData,
    ) -> None:
        target = find_target(base.format)
        self.runtime = runtimes_for(base.format)[0]
        self._runs_in = target.search_runtime or self.runtime
        self._base_path, self._base = base_path, base
        self._signature, self._task, self._evidence = signature, task, evidence
        self._base_session: Session | None = None
        self._decided_by_snr = task.agreement is None

    def score(self, path: Path, artifact: Artifact, count: int | None = None) -> Score:
        """Run a candidate on the first `count` images, or on all."""
        evidence = self._evidence.first(count)
        with closing(self._open(path, artifact)) as session:
            outputs = run_photos(
                session, artifact, self._signature, evidence.photos, evidence.preprocessing
            )
        found = self._task.compare(evidence.references, outputs, artifact.precision)
        agreed = 1.0 if found.value is None else found.value
        return Score(
            _lowest_snr_db(evidence, outputs),
            agreed,
            evidence.accuracy_change(self._task, outputs),
            (
                *(each.name for each in found.others if each.value < each.threshold),
                *(_no_better_than_constant(evidence, outputs) if self._decided_by_snr else ()),
            ),
        )

    def speed(self, path: Path, artifact: Artifact, seconds: float = 1.0) -> float | None:
        """Return the speedup over the artifact in floats, with one thread each;
        None where it can't be measured on this machine."""
        if not RUNTIMES[self.runtime].timed or self._runs_in != self.runtime:
            return None
        if self._base_session is None:
            self._base_session = self._open(self._base_path, self._base)
        base, crop = self._base_session, self._evidence.photos[0]
        inputs, base_inputs = self._inputs(crop, artifact), self._inputs(crop, self._base)
        with closing(self._open(path, artifact)) as session:
            return speedup(
                lambda: session.run(inputs), lambda: base.run(base_inputs), seconds=seconds
            )

    def close(self) -> None:
        """Free the session of what is quantized."""
        if self._base_session is not None:
            self._base_session.close()
            self._base_session = None

    def _open(self, path: Path, artifact: Artifact) -> Session:
        opened = {"format": RUNTIMES[self._runs_in].format}
        return open_session(self._runs_in, path, artifact.model_copy(update=opened))

    def _inputs(self, crop: Pixels, artifact: Artifact) -> dict[str, Array]:
        preprocessing: Preprocessing = self._evidence.preprocessing
        return {artifact.image.name: to_input(crop, preprocessing, artifact.image)}


def _lowest_snr_db(evidence: ReferenceData, outputs: Sequence[Outputs]) -> float:
    pooled = pooled_snr_db(evidence.references, outputs, evidence.scores)
    found = [
        worst_found_class_snr_db(evidence.references, outputs, each) for each in evidence.scores
    ]
    return min((*pooled.values(), *(each for each in found if each is not None)), default=300)


def _no_better_than_constant(evidence: ReferenceData, outputs: Sequence[Outputs]) -> list[str]:
    """Return the names of the outputs that the same one for every image would equal as well."""
    pooled = pooled_snr_db(evidence.references, outputs, evidence.scores)
    least = evidence.least_snr_db(pooled=True)
    return [f"{name}.snr_db" for name, value in pooled.items() if value < least.get(name, value)]
