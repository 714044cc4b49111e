"""ONNX, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from lolvit_export.targets import LEAST_8_BIT_DB, PrecisionSpec, Target

_QUANTIZER = "lolvit_export.quantization.onnx:OnnxQuantizer"

TARGET = Target(
    name="onnx",
    lowering="lolvit_export.lowering.onnx:lower",
    suffix=".onnx",
    cost=1,
    precisions={
        "fp32": PrecisionSpec(100),
        "fp16": PrecisionSpec(45),
        "int8": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER, timed=True),
        "w8a16": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER),
    },
    unsupported={"w4": "ONNX has no convolution with 4-bit weights, tflite and coreml have one"},
    runtimes={"host": ("ort",), "arm64": ("ort-arm64-a76", "ort-arm64-i8mm")},
)
