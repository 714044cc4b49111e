"""Bias correction: the mean error of each quantized layer's result is taken out of its bias.

Rounding shifts what a layer gives, and much of the shift is the same on every image (Nagel et al.,
Data-Free Quantization, arXiv:1906.04721, section 4.2: here with images). A layer is corrected once
all before it are, as what it reads depends on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from lolvit_export.quantization.onnx_graph import Graph, run_activations
from lolvit_export.quantization.onnx_qdq import BIAS, LARGEST_BIAS
from lolvit_export.quantization.plan import Plan
from lolvit_runtimes.preprocessing import Pixels
from lolvit_runtimes.session import FloatArray

BIAS_IMAGES = 32  # every layer after another: each image counts once for each

Means = Mapping[str, npt.NDArray[np.float64]]


class LastCorrected:
    """The model that was corrected last: correction takes long, and the search's last candidate is
    written again."""

    def __init__(self) -> None:
        self._last: tuple[Plan, onnx.ModelProto] | None = None

    def get(self, plan: Plan, correct: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
        """Return the model of a plan, corrected by `correct` if the last one is of another plan."""
        bare = plan.model_copy(update={"candidates": (), "sensitivity": ()})
        if self._last is None or self._last[0] != bare:
            self._last = bare, correct()
        return self._last[1]


def corrected_biases(
    graph: Graph,
    quantized: onnx.ModelProto,
    images: Sequence[FloatArray],
    quantized_images: Sequence[Pixels] | None = None,
) -> onnx.ModelProto:
    """Return `quantized`, which was made of `graph`, with its layers' biases corrected, as images
    (1, 3, H, W) require. Where it takes another input than the graph does, `quantized_images` are
    the same images as it takes them."""
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    constants = {each.name: each for each in model.graph.initializer}
    layers = [node for node in graph.nodes if BIAS.format(node.name) in constants]
    if not layers:
        return model
    taken = images if quantized_images is None else quantized_images
    results = {node.name: node.output[0] for node in model.graph.node}  # some are renamed
    exact = _means(graph.model, {node.output[0]: _channel_axis(node) for node in layers}, images)
    for group in _independent(graph, {node.name for node in layers}):
        found = _means(model, {results[node.name]: _channel_axis(node) for node in group}, taken)
        for node in group:
            error = found[results[node.name]] - exact[node.output[0]]
            _add(constants, node.name, -error)
    return model


def _independent(graph: Graph, names: Collection[str]) -> Iterable[list[onnx.NodeProto]]:
    """Yield groups of the named operations: none reads, on whatever way, what another of its group
    or of a later one gives."""
    groups: dict[int, list[onnx.NodeProto]] = defaultdict(list)
    depth: dict[str, int] = {}  # of a tensor: named operations on the longest way to it
    for node in graph.nodes:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        if node.name in names:
            groups[before].append(node)
        depth.update(dict.fromkeys(node.output, before + (node.name in names)))
    return [groups[place] for place in sorted(groups)]


def _channel_axis(layer: onnx.NodeProto) -> int:
    """Return the axis of a layer's result that its bias belongs to: of a linear layer the last."""
    return 1 if layer.op_type in ("Conv", "ConvTranspose") else -1


def _means(
    model: onnx.ModelProto, channel_axes: Mapping[str, int], images: Sequence[FloatArray | Pixels]
) -> Means:
    """Return each channel's mean over all images and places, (channels,) a tensor; `channel_axes`
    are the axes of the channels, by tensor."""
    sums = dict.fromkeys(channel_axes, np.float64(0))
    for name, values in run_activations(model, list(channel_axes), images):
        channels = channel_axes[name] % values.ndim
        places = tuple(axis for axis in range(values.ndim) if axis != channels)
        sums[name] = sums[name] + values.mean(axis=places, dtype=np.float64)
    return {name: np.asarray(total) / len(images) for name, total in sums.items()}


def _add(
    constants: Mapping[str, onnx.TensorProto], layer: str, correction: npt.NDArray[np.float64]
) -> None:
    stored = constants[BIAS.format(layer)]
    scales = numpy_helper.to_array(constants[f"{layer}/bias/scale"]).astype(np.float64)
    bias = numpy_helper.to_array(stored) + np.rint(correction / scales)
    clipped = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32)
    stored.CopyFrom(numpy_helper.from_array(clipped, stored.name))
