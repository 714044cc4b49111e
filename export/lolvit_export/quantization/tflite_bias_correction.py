"""Bias correction of a quantized TFLite model: each layer's mean error is taken out of its bias.

As in ONNX (`onnx_bias_correction`), a layer is corrected once all before it are. Here a layer's
result includes its fused activation, so that of a shift only what passes the activation is seen;
the linear layers that follow take out the rest.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping

# With activations of 8 and of 16 bits.
_BIAS_TYPES = {qtyping.TensorType.INT32: np.int32, qtyping.TensorType.INT64: np.int64}
KINDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_LARGEST_BIAS = 2**30
_Means = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Layer:
    """A quantized layer: its place in the order of execution, its output tensor by number, that
    tensor's name in the float model, and its bias in integers with one scale a channel."""

    depth: int
    output: int
    name: str
    bias: npt.NDArray[np.signedinteger]  # a view on the file
    scales: npt.NDArray[np.float64]


def correct_biases(floats: bytes, quantized: bytearray, images: Sequence[npt.NDArray[Any]]) -> None:
    """Correct the biases of `quantized`, in place, as images (of the input's shape) require;
    `floats` is the model that it was made of."""
    groups: dict[int, list[_Layer]] = defaultdict(list)
    names = _tensor_names(floats)
    for layer in _layers(quantized):
        if layer.name in names:
            groups[layer.depth].append(layer)
    wanted = {each.name: names[each.name] for group in groups.values() for each in group}
    exact = _means(floats, wanted.values(), images)
    for depth in sorted(groups):
        found = _means(quantized, [each.output for each in groups[depth]], images)
        for layer in groups[depth]:
            shift = exact[wanted[layer.name]] - found[layer.output]
            bias = layer.bias + np.rint(shift / layer.scales)
            layer.bias[:] = np.clip(bias, -_LARGEST_BIAS, _LARGEST_BIAS).astype(layer.bias.dtype)


def _tensor_names(model: bytes) -> dict[str, int]:
    subgraph = qtyping.Model.GetRootAs(model).Subgraphs(0)
    return {subgraph.Tensors(i).Name().decode(): i for i in range(subgraph.TensorsLength())}


def _layers(model: bytearray) -> Iterable[_Layer]:
    """Yield the layers with a bias in integers, whose result is in integers too or in float."""
    view = qtyping.Model.GetRootAs(model)
    subgraph = view.Subgraphs(0)
    depth: dict[int, int] = {}  # of a tensor: layers on the longest way to it
    for number in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(number)
        inputs = [int(i) for i in operator.InputsAsNumpy() if i >= 0]
        before = max((depth.get(i, 0) for i in inputs), default=0)
        output = int(operator.Outputs(0))
        bias = _bias(view, subgraph, inputs)
        depth.update(
            dict.fromkeys(map(int, operator.OutputsAsNumpy()), before + (bias is not None))
        )
        if bias is not None:
            name = subgraph.Tensors(output).Name().decode().removesuffix("_quantized")
            yield _Layer(before, output, name, *bias)


def _bias(
    view: Any, subgraph: Any, inputs: Sequence[int]
) -> tuple[npt.NDArray[np.signedinteger], npt.NDArray[np.float64]] | None:
    """Return a layer's bias, as a view on the file, and its scales; None for other operations."""
    if len(inputs) != 3:
        return None
    tensor = subgraph.Tensors(inputs[2])
    buffer = view.Buffers(tensor.Buffer())
    params = tensor.Quantization()
    stored = _BIAS_TYPES.get(tensor.Type())
    if stored is None or params is None or params.ScaleLength() == 0 or buffer.DataLength() == 0:
        return None
    return buffer.DataAsNumpy().view(stored), params.ScaleAsNumpy().astype(np.float64)


def _means(
    model: bytes | bytearray, tensors: Iterable[int], images: Sequence[npt.NDArray[Any]]
) -> dict[int, _Means]:
    """Return each channel's mean over all images and places, (channels,) a tensor."""
    wanted = list(tensors)
    interpreter = _interpreter(bytes(model))
    image = interpreter.get_input_details()[0]["index"]
    params = {each["index"]: each["quantization"] for each in interpreter.get_tensor_details()}
    sums: dict[int, _Means] = {}
    for each in images:
        interpreter.set_tensor(image, each)
        interpreter.invoke()
        for index in wanted:
            values = interpreter.get_tensor(index)
            mean = values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
            scale, zero_point = params[index]
            real = (mean - zero_point) * scale if scale else mean
            sums[index] = sums.get(index, np.float64(0)) + real
    return {index: total / len(images) for index, total in sums.items()}


def _interpreter(model: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all tensors take memory
        interpreter: Any = Interpreter(
            model_content=model, num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter
