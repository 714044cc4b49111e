"""TFLite (LiteRT), with an NHWC image input, as Android apps provide it."""

from __future__ import annotations

from lolvit_export.targets import LEAST_8_BIT_DB, PrecisionSpec, Target

_QUANTIZER = "lolvit_export.quantization.tflite:TfliteQuantizer"

TARGET = Target(
    name="tflite",
    lowering="lolvit_export.lowering.tflite:lower",
    suffix=".tflite",
    cost=6,
    precisions={
        "fp32": PrecisionSpec(
            100,
            snr_db_by_runtime={"litert-gpu": 90},
            # Its kernels add one by one: 20.6 dB less than eager in an untrained mobilevitv2_050.
            noise_margin_db_by_runtime={"litert-reference": 25},
        ),
        "fp16": PrecisionSpec(45),
        "int8": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER, timed=True),
        "w8a16": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER),
        "w4": PrecisionSpec(20, _QUANTIZER),
    },
    runtimes={
        "host": ("litert", "litert-reference"),
        "litert-gpu": ("litert-gpu",),
        "tensorflow": ("tensorflow",),
        "arm64": ("litert-arm64-a76", "litert-arm64-i8mm"),
    },
)
