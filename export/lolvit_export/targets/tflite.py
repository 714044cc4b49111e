"""TFLite (LiteRT), with the image channels last as its apps hand it over."""

from __future__ import annotations

from lolvit_export.targets import LEAST_INT8_DB, PrecisionSpec, Target

_QUANTIZER = "lolvit_export.quantization.tflite:TfliteQuantizer"

TARGET = Target(
    name="tflite",
    lowering="lolvit_export.lowering.tflite:lower",
    suffix=".tflite",
    cost=6,
    precisions={
        "fp32": PrecisionSpec(100, coarse={"litert-gpu": 90}),
        "fp16": PrecisionSpec(45),
        "int8": PrecisionSpec(LEAST_INT8_DB, _QUANTIZER, timed=True),
        "w8a16": PrecisionSpec(28, _QUANTIZER),
        "w4": PrecisionSpec(20, _QUANTIZER),
    },
    runtimes={
        "host": ("litert", "litert-reference"),
        "litert-gpu": ("litert-gpu",),
        "tensorflow": ("tensorflow",),
        "arm64": ("litert-arm64-a76", "litert-arm64-i8mm"),
    },
)
