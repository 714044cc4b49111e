"""Core ML: an ML Program with an image input, verified in Core ML on a Mac or interpreted."""

from __future__ import annotations

import platform

from lolvit_export.targets import LEAST_8_BIT_DB, PrecisionSpec, Target

_QUANTIZER = "lolvit_export.quantization.coreml:CoremlQuantizer"

TARGET = Target(
    name="coreml",
    lowering="lolvit_export.lowering.coreml:lower",
    suffix=".mlpackage",
    cost=5,
    precisions={
        "fp32": PrecisionSpec(90),
        "fp16": PrecisionSpec(45),
        "int8": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER, timed=True),
        "w8a16": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER),
        "w4": PrecisionSpec(20, _QUANTIZER),
    },
    runtimes={"host": ("coreml" if platform.system() == "Darwin" else "coreml-reference",)},
)
