"""Non-maximum suppression in the graph of a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torchvision.ops import box_convert

from lolvit.boxes import points_of
from lolvit.tasks.detection import TASK, DetectionTask
from lolvit_export.suppression import same_detections
from lolvit_export.suppression_onnx import DETECTIONS, with_suppression
from tests.tasks.test_detection import outputs_of

SIZE, CLASSES = (64, 96), 5
POINTS = len(points_of(SIZE, (8, 16, 32))[1])


def task(**changes: object) -> DetectionTask:
    return TASK.configure(SIZE, {**TASK.postprocessing(), **changes})


def identity() -> onnx.ModelProto:
    """A detector whose outputs are its inputs."""
    shapes = {"boxes": [1, 4, POINTS], "scores": [1, CLASSES, POINTS]}
    inputs = [helper.make_tensor_value_info(f"in_{n}", TensorProto.FLOAT, s)
              for n, s in shapes.items()]  # fmt: skip
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [name]) for name in shapes]
    graph = helper.make_graph(nodes, "detector", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("changes", [{}, {"score_threshold": 0.05}, {"max_detections": 3}])
@pytest.mark.parametrize("seed", range(3))
def test_the_graph_finds_what_the_host_finds(seed: int, changes: dict[str, object]) -> None:
    detector = task(**changes)
    model = with_suppression(identity(), SIZE, detector.parameters)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs = outputs_of(seed)
    given = {f"in_{name}": array for name, array in outputs.items()}
    (rows,) = session.run([DETECTIONS], given)
    expected = detector.decoded(outputs)
    assert len(expected.scores) >= 3 and rows.shape == (len(expected.scores), 6)
    np.testing.assert_allclose(rows[:, 4], expected.scores, rtol=1e-6)
    assert (rows[:, 5] == expected.classes).all()
    np.testing.assert_allclose(rows[:, :4], expected.boxes, rtol=1e-5, atol=1e-4)
    assert same_detections(expected, rows, detector.parameters.score_threshold)


def test_an_image_without_objects_has_no_rows() -> None:
    model = with_suppression(identity(), SIZE, task().parameters)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    nothing = {"in_boxes": np.ones((1, 4, POINTS), np.float32),
               "in_scores": np.zeros((1, CLASSES, POINTS), np.float32)}  # fmt: skip
    (rows,) = session.run([DETECTIONS], nothing)
    assert rows.shape == (0, 6)


def test_other_objects_are_told_apart() -> None:
    expected = task().decoded(outputs_of(0))
    rows = np.column_stack([expected.boxes, expected.scores, expected.classes])
    assert same_detections(expected, rows[::-1], 0.3)
    assert not same_detections(expected, rows[1:], 0.3)
    for column, change in ((0, 3.0), (5, 1.0)):
        wrong = rows.copy()
        wrong[2, column] += change
        assert not same_detections(expected, wrong, 0.3)


class Fixed(nn.Module):
    """A captured detector in miniature: fixed outputs for any image."""

    def __init__(self, outputs: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.register_buffer("boxes", torch.from_numpy(outputs["boxes"]))
        self.register_buffer("scores", torch.from_numpy(outputs["scores"]))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        zero = image.mean() * 0
        return self.boxes + zero, self.scores + zero


def test_vision_gets_centres_and_sides_as_shares_of_the_image(tmp_path: Path) -> None:
    from lolvit_export.suppression_coreml import VisionBoxes

    outputs = outputs_of(1)
    vision = VisionBoxes(Fixed(outputs), SIZE, (8, 16, 32))  # type: ignore[arg-type]
    confidence, coordinates = vision(torch.rand(1, 3, *SIZE))
    np.testing.assert_array_equal(confidence.numpy(), outputs["scores"][0].T)
    sides = torch.tensor([SIZE[1], SIZE[0]] * 2)
    corners = box_convert(coordinates, "cxcywh", "xyxy") * sides
    every = task(score_threshold=0, iou_threshold=1, max_detections=10_000, max_candidates=10_000)
    found = every.decoded(outputs)
    best = confidence.flatten().argmax() // CLASSES
    np.testing.assert_allclose(corners[best].numpy(), found.boxes[0], rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_pipeline_of_core_ml_holds_detector_and_suppression(tmp_path: Path) -> None:
    from lolvit_export.pipeline import export_model
    from lolvit_runtimes.coreml_tools import coremltools as ct
    from tests.export.requests import request

    asked = request(
        tmp_path, task="detection", num_classes=3, size=SIZE, targets=("onnx", "coreml"),
        labels=("cup", "cat", "cell"), nms=True,
    )  # fmt: skip
    exported = export_model(asked, lambda _step: None)
    exported.raise_on_failure()
    assert exported.suppressed == ("model-fp32.nms.onnx", "model-fp32.nms.mlpackage")
    package = exported.folder / "model-fp32.nms.mlpackage"
    spec = ct.models.MLModel(str(package), skip_model_load=True).get_spec()
    detector, suppression = spec.pipeline.models
    assert detector.WhichOneof("Type") == "mlProgram"
    assert [each.name for each in spec.description.output] == ["confidence", "coordinates"]
    assert spec.description.input[0].type.WhichOneof("Type") == "imageType"
    assert list(suppression.nonMaximumSuppression.stringClassLabels.vector) == [
        "cup",
        "cat",
        "cell",
    ]
    produced = [each.name for each in detector.description.output]
    taken = suppression.nonMaximumSuppression
    assert produced == [taken.confidenceInputFeatureName, taken.coordinatesInputFeatureName]
    assert exported.manifest.find("coreml", "fp32") is not None
    listed = {artifact.path for artifact in exported.manifest.artifacts}
    assert not listed & set(exported.suppressed)
