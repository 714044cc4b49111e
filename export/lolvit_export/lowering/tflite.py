"""Lower to TFLite by litert-torch, with an NHWC image input, as Android apps provide it, and maps
and points with their channels last too, as TFLite holds them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import qtyping, quantizer
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit.manifest import TensorSpec
from lolvit_export.capture import INPUT_NAME
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.rewrites import apply_all
from lolvit_export.rewrites.drop_batch_axis import DropBatchAxis
from lolvit_export.rewrites.graph import aten, call
from lolvit_export.rewrites.index_writes_to_index_select import IndexWritesToIndexSelect
from lolvit_export.rewrites.max_unpool_to_masks import MaxUnpoolToMasks
from lolvit_export.rewrites.nearest_resize_to_gather import NearestResizeToGather
from lolvit_export.rewrites.nearest_sample_to_bilinear import NearestSampleToBilinear
from lolvit_export.rewrites.one_hot_to_equal import OneHotToEqual
from lolvit_export.rewrites.outer_product_to_mul import OuterProductToMul
from lolvit_export.rewrites.output_padding_to_kernel import OutputPaddingToKernel
from lolvit_export.rewrites.padded_avg_pool_to_depthwise_conv import PaddedAvgPoolToDepthwiseConv
from lolvit_export.rewrites.permute_before_expand import PermuteBeforeExpand
from lolvit_export.rewrites.points_channels_last import PointsChannelsLast
from lolvit_export.rewrites.pow_to_products import PowToProducts
from lolvit_export.rewrites.prelu_to_relu import PreluToRelu
from lolvit_export.rewrites.product_conv1d_to_conv2d import ProductConv1dToConv2d
from lolvit_export.rewrites.repeat_to_cat import RepeatToCat
from lolvit_export.rewrites.round_to_floor import RoundToFloor
from lolvit_export.rewrites.sort_to_topk import SortToTopk
from lolvit_export.rewrites.topk_values_by_indices import TopkValuesByIndices
from lolvit_export.rewrites.transposed_padding_to_slice import TransposedPaddingToSlice
from lolvit_export.rewrites.unfold_to_reshape import UnfoldToReshape
from lolvit_export.rewrites.vector_matmul_to_sum import VectorMatmulToSum
from lolvit_runtimes.tflite_check import check_tflite

# Weights are stored in half precision; the runtime chooses the precision of computation.
_FP16_RECIPE = [
    {
        "regex": ".*",
        "operation": operation,
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {
                "num_bits": 16,
                "symmetric": True,
                "granularity": "TENSORWISE",
                "dtype": "FLOAT",
            },
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
            "skip_checks": False,
        },
    }
    for operation in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
]


# After the static rewrites; each line that stands after another one for a reason says it.
_REWRITES = (
    NearestResizeToGather(),
    PointsChannelsLast(),
    PaddedAvgPoolToDepthwiseConv(),
    PreluToRelu(),
    OutputPaddingToKernel(),
    TransposedPaddingToSlice(),  # after the one before, which makes kernels larger
    ProductConv1dToConv2d(),
    NearestSampleToBilinear(),
    RoundToFloor(),  # after the one before, which rounds
    SortToTopk(),
    TopkValuesByIndices(),  # after the one before, which makes some
    RepeatToCat(),
    IndexWritesToIndexSelect(),
    MaxUnpoolToMasks(),
    OneHotToEqual(),
    PowToProducts(),
    UnfoldToReshape(),
    DropBatchAxis(),  # after the one before, which makes windows of maps
    PermuteBeforeExpand(),  # after both, which permute
    OuterProductToMul(),
    VectorMatmulToSum(),
)

_Operator = qtyping.BuiltinOperator
_WITH_BIAS = (_Operator.CONV_2D, _Operator.DEPTHWISE_CONV_2D, _Operator.FULLY_CONNECTED)

# By layout: the layout with channels last, and the order of its axes.
_CHANNELS_LAST = {"NCHW": ("NHWC", [0, 2, 3, 1]), "NCL": ("NLC", [0, 2, 1])}


class _ChannelsLast(nn.Module):
    """Takes the image as (B, H, W, C) and returns the outputs by name."""

    def __init__(self, graph: GraphModule, names: Sequence[str]) -> None:
        super().__init__()
        self.rewritten, self.names = graph, tuple(names)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        outputs = self.rewritten(image.permute(0, 3, 1, 2))
        tensors = (outputs,) if isinstance(outputs, Tensor) else outputs
        return dict(zip(self.names, tensors, strict=True))


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.tflite`: float32 image (B, H, W, C) in, the graph's outputs out, maps
    as (B, H, W, C) and points as (B, L, C).

    In fp16 the weights are half precision; arithmetic is the delegate's choice.
    """
    batch, channels, height, width = request.image.shape
    shape = (batch, height, width, channels)
    image = request.image.model_copy(update={"shape": shape, "layout": "NHWC"})
    graph, outputs = _channels_last_outputs(graph, request.outputs)
    module = _ChannelsLast(graph, [spec.name for spec in request.outputs]).eval()
    fp32 = litert_torch.convert(module, sample_kwargs={INPUT_NAME: torch.rand(shape)})
    written = []
    for precision in request.precisions:
        path = request.path(precision)
        fp32.export(str(path))
        _flatten_biases(path)
        if precision == "fp16":
            write_atomic(path, _halve_weights(path))
        found = _as_written(outputs, path)
        written.append(request.lowered(precision, inputs=(image,), outputs=found))
    return written


def _channels_last_outputs(
    graph: GraphModule, outputs: Sequence[TensorSpec]
) -> tuple[GraphModule, tuple[TensorSpec, ...]]:
    """Return a copy of the graph with the channels of maps and points last, and its outputs."""
    changed = copy.deepcopy(graph)
    _make_contiguous(changed)
    (result,) = (node for node in changed.graph.nodes if node.op == "output")
    returned = result.args[0]
    several = isinstance(returned, (tuple, list))
    nodes = list(returned) if several else [returned]
    specs = list(outputs)
    with changed.graph.inserting_before(result):
        for index, spec in enumerate(outputs):
            if spec.layout in _CHANNELS_LAST:
                layout, order = _CHANNELS_LAST[spec.layout]
                nodes[index] = call(changed.graph, aten.permute.default, nodes[index], order)
                shape = tuple(spec.shape[axis] for axis in order)
                specs[index] = spec.model_copy(update={"layout": layout, "shape": shape})
    result.args = (tuple(nodes) if several else nodes[0],)
    changed.graph.lint()
    changed.recompile()
    return apply_all(_REWRITES, changed)[0], tuple(specs)


def _make_contiguous(graph: GraphModule) -> None:
    """Give weights their plain strides, in place. litert-torch 0.10 remembers a constant by the
    address of a contiguous copy, which it frees: of weights with other strides (`channels_last`),
    one gets the values of an earlier one of its shape."""
    for tensor in (*graph.parameters(), *graph.buffers()):
        tensor.data = tensor.data.contiguous()


def _as_written(outputs: Sequence[TensorSpec], path: Path) -> tuple[TensorSpec, ...]:
    """Return the outputs with the dtypes in the converted file: the converter changes int64 to
    int32."""
    found = {tensor.name: tensor.dtype for tensor in check_tflite(path).outputs}
    return tuple(spec.model_copy(update={"dtype": found[spec.name]}) for spec in outputs)


def _flatten_biases(path: Path) -> None:
    """Give biases of shape (1, …, C), which the converter makes of sums behind a linear layer, that
    of the format, (C,). In floats either works; of integers, whose scales are C along the first
    axis, LiteRT refuses the others."""
    model = tfl_flatbuffer_utils.read_model(str(path))
    codes = [code.builtinCode for code in model.operatorCodes]
    changed = False
    for graph in model.subgraphs:
        for operation in graph.operators:
            inputs = list(operation.inputs)
            if codes[operation.opcodeIndex] in _WITH_BIAS and len(inputs) > 2 and inputs[2] >= 0:
                bias = graph.tensors[inputs[2]]
                if len(bias.shape) > 1:
                    bias.shape = [math.prod(int(extent) for extent in bias.shape)]
                    changed = True
    if changed:
        tfl_flatbuffer_utils.write_model(model, str(path))


def _halve_weights(fp32: Path) -> bytes:
    return bytes(quantizer.Quantizer(str(fp32), _FP16_RECIPE).quantize().quantized_model)
