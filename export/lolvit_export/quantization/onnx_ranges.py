"""Histograms of an ONNX model's activations over calibration images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from lolvit_export.quantization.ranges import Histogram, Range, Values, counted, extent
from lolvit_runtimes.ort import PROVIDER, session_options
from lolvit_runtimes.session import FloatArray


def histograms(
    model: onnx.ModelProto, tensors: Sequence[str], images: Sequence[FloatArray]
) -> dict[str, Histogram]:
    """Run the model on the images twice: for each tensor's extent, then for what lies within."""
    runner = _Runner(model, tensors)
    extents: dict[str, Range] = {}
    for image in images:
        for name, values in runner.run(image):
            low, high = extents.get(name, (np.inf, -np.inf))
            least, most = extent([values])
            extents[name] = min(low, least), max(high, most)
    counts = {name: np.zeros(1, np.int64) for name in tensors}
    for image in images:
        for name, values in runner.run(image):
            counts[name] = counts[name] + counted(values, extents[name])
    return {name: Histogram(*extents[name], counts[name]) for name in tensors}


class _Runner:
    """A session that gives activations from inside the model."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        self._image = model.graph.input[0].name
        self._inner = [name for name in tensors if name != self._image]
        self._tensors = tensors
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        del shown.graph.output[:]
        shown.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._inner
        )
        self._session = onnxruntime.InferenceSession(
            shown.SerializeToString(), session_options(threads=1), providers=[PROVIDER]
        )

    def run(self, image: FloatArray) -> Iterable[tuple[str, Values]]:
        """Yield each tensor's name and values."""
        if self._image in self._tensors:
            yield self._image, image
        yield from zip(
            self._inner, self._session.run(self._inner, {self._image: image}), strict=True
        )
