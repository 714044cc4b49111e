"""A Core ML detector with non-maximum suppression, as Vision's VNCoreMLRequest takes it: a pipeline
whose outputs become VNRecognizedObjectObservation.

Core ML runs pipelines on Apple's devices alone: what is compared with eager PyTorch here is the
first model of the pipeline, with boxes as Vision wants them. Vision applies suppression itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.boxes import points_of
from lolvit.tasks.detection import BoxParameters
from lolvit_runtimes.coreml_tools import coremltools as ct

CONFIDENCE, COORDINATES = "raw_confidence", "raw_coordinates"
_SPECIFICATION_VERSION = 7  # of ML programs in pipelines: iOS 16


class VisionBoxes(nn.Module):
    """A captured detector that returns what Vision's suppression takes: confidence (N, C) and, as
    shares of the image's sides, the centre, width and height of each box (N, 4)."""

    offset: Tensor
    scale: Tensor

    def __init__(self, graph: GraphModule, size: tuple[int, int], strides: Sequence[int]) -> None:
        super().__init__()
        self.rewritten = graph  # `graph` is a name of torch.fx
        centres, widths = points_of(size, strides)
        sides = np.array([size[1], size[0]], np.float64)
        relative = (widths[:, None] / sides).T[None]  # (1, 2, N)
        self.register_buffer("offset", torch.from_numpy((centres / sides).T[None]).float())
        self.register_buffer("scale", torch.from_numpy(relative).float())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image (1, C, H, W) -> confidence (N, classes) and coordinates (N, 4)."""
        boxes, scores = self.rewritten(image)
        before, after = boxes[:, :2] * self.scale, boxes[:, 2:] * self.scale  # (1, 2, N)
        middle = self.offset + (after - before) / 2
        coordinates = torch.cat([middle, before + after], 1)  # (1, 4, N)
        return scores.flatten(0, 1).transpose(0, 1), coordinates.flatten(0, 1).transpose(0, 1)


def save_pipeline(
    package: Path, path: Path, labels: Sequence[str], parameters: BoxParameters
) -> None:
    """Write to `path` the pipeline of a package that computes `VisionBoxes`, and suppression."""
    base = ct.models.MLModel(str(package), skip_model_load=True)
    spec = base.get_spec()
    suppression = _suppression(spec, labels, parameters)
    found = ct.proto.Model_pb2.Model()
    found.specificationVersion = max(spec.specificationVersion, _SPECIFICATION_VERSION)
    found.pipeline.models.add().CopyFrom(spec)
    found.pipeline.models.add().CopyFrom(suppression)
    found.pipeline.names.extend(["detector", "suppression"])
    description = found.description
    description.input.extend(spec.description.input)
    for name, what in (
        (parameters_name("iou"), f"default: {parameters.iou_threshold}"),
        (parameters_name("confidence"), f"default: {parameters.score_threshold}"),
    ):
        feature = description.input.add(name=name, shortDescription=what)
        feature.type.doubleType.SetInParent()
        feature.type.isOptional = True
    description.output.extend(suppression.description.output)
    description.metadata.shortDescription = (
        "A detector with non-maximum suppression, for Vision. Provenance is in manifest.json."
    )
    ct.models.MLModel(found, weights_dir=base.weights_dir, skip_model_load=True).save(str(path))


def parameters_name(kind: str) -> str:
    """Return the name of a threshold's input, as Core ML's other detectors have it."""
    return f"{kind}Threshold"


def _suppression(spec: Any, labels: Sequence[str], parameters: BoxParameters) -> Any:
    """Return the model that suppresses, within each class."""
    model = ct.proto.Model_pb2.Model()
    model.specificationVersion = _SPECIFICATION_VERSION
    model.description.input.extend(spec.description.output)
    for name, columns in (("confidence", len(labels)), ("coordinates", 4)):
        feature = model.description.output.add(name=name)
        array = feature.type.multiArrayType
        array.dataType = ct.proto.FeatureTypes_pb2.ArrayFeatureType.DOUBLE
        for lower, upper in ((0, -1), (columns, columns)):
            array.shapeRange.sizeRanges.add(lowerBound=lower, upperBound=upper)
    suppression = model.nonMaximumSuppression
    suppression.confidenceInputFeatureName = CONFIDENCE
    suppression.coordinatesInputFeatureName = COORDINATES
    suppression.confidenceOutputFeatureName = "confidence"
    suppression.coordinatesOutputFeatureName = "coordinates"
    suppression.iouThresholdInputFeatureName = parameters_name("iou")
    suppression.confidenceThresholdInputFeatureName = parameters_name("confidence")
    suppression.iouThreshold = parameters.iou_threshold
    suppression.confidenceThreshold = parameters.score_threshold
    suppression.pickTop.perClass = True
    suppression.stringClassLabels.vector.extend(labels)
    return model
