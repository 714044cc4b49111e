"""Qualcomm's HTP: an ONNX file of supported operations, and context binaries compiled from it.

HTP has no fp32 arithmetic, so everything is quantized from fp16. The emulator takes a second per
image: candidates of the search run in ONNX Runtime, which rounds ties differently; the gates are
evaluated in the emulator.
"""

from __future__ import annotations

from lolvit_export.targets import LEAST_8_BIT_DB, PrecisionSpec, Target

# HTP rounds more than eager in half precision where activations differ much in size: untrained,
# torchvision's mobilenet_v3_small has 12.6 dB less there; EfficientNet-Lite0, trained, has no less.
_NOISE_MARGIN_DB = {"qnn": 13.0}
# Nothing stays in float there, not the sums of residual branches either: EfficientNet-Lite1 and 2
# have 9.4 and 8.4 dB in 8 bits, with the top class of 95 % of the images; with weights of one scale
# per tensor, Lite0 has 4.6 dB and 68 %.
_LEAST_INT8_DB = 6.5
_QUANTIZER = "lolvit_export.quantization.qnn:QnnQuantizer"

TARGET = Target(
    name="qnn",
    lowering="lolvit_export.lowering.qnn:lower",
    suffix=".onnx",
    tag="-htp",
    container="onnx",
    cost=2,
    precisions={
        "fp16": PrecisionSpec(45, noise_margin_db_by_runtime=_NOISE_MARGIN_DB),
        "int8": PrecisionSpec(_LEAST_INT8_DB, _QUANTIZER, base="fp16"),
        "w8a16": PrecisionSpec(LEAST_8_BIT_DB, _QUANTIZER, base="fp16"),
    },
    runtimes={"host": ("qnn",), "qnn-emulator": ("qnn",)},
    batches=False,
    fully_quantized=True,
    search_runtime="ort",
    compiled_variants="lolvit_export.lowering.qnn_contexts:compiled_variants",
)
