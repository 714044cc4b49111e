"""The values of an ONNX model's activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx
import onnxruntime
from onnx import TensorProto, helper

from lolvit_export.quantization.ranges import Values
from lolvit_runtimes.ort import PROVIDER, session_options
from lolvit_runtimes.session import FloatArray


def activations(
    model: onnx.ModelProto, tensors: Sequence[str], images: Iterable[FloatArray]
) -> Iterator[tuple[str, Values]]:
    """Yield the name and values of each of `tensors`, the image among them, image after image."""
    fed = model.graph.input[0].name
    inner = [name for name in tensors if name != fed]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner
    )
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), session_options(threads=1), providers=[PROVIDER]
    )
    for image in images:
        if fed in tensors:
            yield fed, image
        if inner:  # asked for nothing, ONNX Runtime refuses
            yield from zip(inner, session.run(inner, {fed: image}), strict=True)
