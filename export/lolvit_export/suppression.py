"""Detectors with non-maximum suppression in their graph (`lolvit export --nms`), beside those
without: files for apps that have no postprocessing of their own. The manifest does not list them,
as its readers decode boxes themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from torch.fx import GraphModule

from lolvit.boxes import match
from lolvit.errors import GateFailedError, LolvitError
from lolvit.files import write_atomic
from lolvit.manifest import Artifact, Preprocessing, Signature, TensorSpec
from lolvit.tasks.detection import Boxes, DetectionTask
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.suppression_onnx import DETECTIONS, with_suppression
from lolvit_runtimes.preprocessing import Pixels, normalize

_INFIX = ".nms"
SUPPRESSION_FORMATS = ("onnx", "coreml")
_SAME_IOU, _NEAR_THRESHOLD = 0.99, 1e-3


@dataclass(frozen=True)
class Suppression:
    """What the files need of an export: the captured graph, which Core ML is lowered from again,
    its signature and task, and photos to compare on."""

    folder: Path
    graph: GraphModule
    signature: Signature
    preprocessing: Preprocessing
    task: DetectionTask
    labels: tuple[str, ...] | None
    photos: Sequence[Pixels]

    def write(self, artifacts: Sequence[Artifact]) -> tuple[list[str], dict[str, LolvitError]]:
        """Write the file of each artifact that has a format for it; return their names, and the
        failures by artifact, where ONNX Runtime finds other objects."""
        written: list[str] = []
        failures: dict[str, LolvitError] = {}
        for artifact in artifacts:
            try:
                if artifact.format == "onnx":
                    written.append(self._onnx(artifact))
                elif artifact.format == "coreml" and artifact.quantization is None:
                    written.append(self._coreml(artifact))
            except GateFailedError as error:
                failures[artifact.path] = error
        return written, failures

    def _onnx(self, artifact: Artifact) -> str:
        path = self.folder / artifact.path
        size = self.preprocessing.size
        model = with_suppression(onnx.load(path), size, self.task.parameters)
        data = model.SerializeToString()
        self._compare(path.read_bytes(), data, artifact.path)
        name = f"{path.stem}{_INFIX}{path.suffix}"
        write_atomic(self.folder / name, data)
        return name

    def _compare(self, plain: bytes, suppressed: bytes, where: str) -> None:
        given, changed = (onnxruntime.InferenceSession(each) for each in (plain, suppressed))
        for photo in self.photos:
            image = {given.get_inputs()[0].name: normalize(photo, self.preprocessing)}
            names = [output.name for output in given.get_outputs()]
            expected = self.task.decoded(dict(zip(names, given.run(None, image), strict=True)))
            (rows,) = changed.run([DETECTIONS], image)
            if not same_detections(expected, rows, self.task.parameters.score_threshold):
                raise GateFailedError(
                    "suppression in the graph finds other objects than on the host", where=where,
                    remedy="leave out --nms, and report it",
                )  # fmt: skip

    def _coreml(self, artifact: Artifact) -> str:
        # coremltools takes seconds to import
        from lolvit_export.lowering.coreml import convert, rewritten
        from lolvit_export.suppression_coreml import (
            CONFIDENCE,
            COORDINATES,
            VisionBoxes,
            save_pipeline,
        )

        size, strides = self.preprocessing.size, self.task.parameters.strides
        classes, points = next(
            spec.shape[1:] for spec in self.signature.outputs if spec.name == "scores"
        )
        outputs = tuple(
            TensorSpec(name=name, shape=(points, columns), layout=None, meaning="tensor")
            for name, columns in ((CONFIDENCE, classes), (COORDINATES, 4))
        )
        name = f"{Path(artifact.path).stem}{_INFIX}{Path(artifact.path).suffix}"
        labels = self.labels or tuple(str(index) for index in range(classes))
        with tempfile.TemporaryDirectory() as scratch:
            request = LoweringRequest(
                folder=Path(scratch),
                target="coreml",
                precisions=(artifact.precision,),
                signature=Signature(inputs=self.signature.inputs, outputs=outputs),
                preprocessing=self.preprocessing,
            )
            (lowered,) = convert(VisionBoxes(rewritten(self.graph), size, strides), request)
            save_pipeline(lowered.path, self.folder / name, labels, self.task.parameters)
        return name


def same_detections(expected: Boxes, rows: np.ndarray, threshold: float) -> bool:
    """Whether rows (D, 6) of box, score and class are the expected detections, but for those next
    to the score threshold."""
    clear = expected.scores > threshold + _NEAR_THRESHOLD
    found = rows[rows[:, 4] > threshold + _NEAR_THRESHOLD].astype(np.float64)
    classes = found[:, 5].astype(np.int64)
    pairs = match(expected.boxes[clear], expected.classes[clear], found[:, :4], classes, _SAME_IOU)
    return len(pairs) == int(clear.sum()) == len(found)
