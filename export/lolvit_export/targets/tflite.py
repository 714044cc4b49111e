"""Lower to TFLite by litert-torch, with the image channels last as TFLite's apps hand it over."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit.manifest import TensorSpec
from lolvit_export.capture import INPUT_NAME, output_classes
from lolvit_export.targets.lowering import Lowered, LoweringRequest

# litert-torch's name for the only result of a signature.
OUTPUT_NAME = "output_0"

# Weights stored in half precision; the runtime computes in the precision it is best at.
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


class _ChannelsLast(nn.Module):
    """Take the image as (1, H, W, 3)."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.rewritten = graph

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.rewritten(image.permute(0, 3, 1, 2))
        return logits


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.tflite`: float32 image (1, H, W, 3) in, float32 logits out.

    In fp16 the weights are half precision; arithmetic is the delegate's choice.
    """
    height, width = request.preprocess.size
    example = torch.rand(1, height, width, 3)
    fp32 = litert_torch.convert(_ChannelsLast(graph).eval(), sample_kwargs={INPUT_NAME: example})
    image = TensorSpec(
        name=INPUT_NAME, shape=(1, height, width, 3), layout="NHWC", values="normalized"
    )
    logits = TensorSpec(
        name=OUTPUT_NAME, shape=(1, output_classes(graph)), layout="NC", values="logits"
    )
    written = []
    for precision in request.precisions:
        path = request.folder / f"model-{precision}.tflite"
        fp32.export(str(path))
        if precision == "fp16":
            write_atomic(path, _halve_weights(path))
        written.append(Lowered(path, precision, image, logits))
    return written


def _halve_weights(fp32: Path) -> bytes:
    return bytes(quantizer.Quantizer(str(fp32), _FP16_RECIPE).quantize().quantized_model)
