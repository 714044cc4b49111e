"""ONNX, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from lolvit_export.targets import LEAST_INT8_DB, PrecisionSpec, Target

_QUANTIZER = "lolvit_export.quantization.onnx:OnnxQuantizer"

TARGET = Target(
    name="onnx",
    lowering="lolvit_export.lowering.onnx:lower",
    suffix=".onnx",
    cost=1,
    precisions={
        "fp32": PrecisionSpec(100),
        "fp16": PrecisionSpec(45),
        "int8": PrecisionSpec(LEAST_INT8_DB, _QUANTIZER, timed=True),
        "w8a16": PrecisionSpec(28, _QUANTIZER),
    },
    lacks={"w4": "it has no convolution of 4-bit weights, tflite and coreml have"},
    runtimes={"host": ("ort",), "arm64": ("ort-arm64-a76", "ort-arm64-i8mm")},
)
