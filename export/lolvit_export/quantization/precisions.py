"""Which formats can be quantized, to which precisions, and by what: data alone, that loads nothing.

A quantizer is one file with a class that follows `Quantizer`, and one line here.
"""

from __future__ import annotations

# int8: weights and activations of 8 bits. w8a16: weights of 8 bits; activations of 16, which in
# Core ML are half-precision floats. w4: weights of 4 bits, activations in float.
QUANTIZED = ("int8", "w8a16", "w4")
_INTEGERS = ("int8", "w8a16")
# format: (where its quantizer is, the precisions it has).
QUANTIZERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tflite": ("lolvit_export.quantization.tflite:TfliteQuantizer", QUANTIZED),
    "coreml": ("lolvit_export.quantization.coreml:CoremlQuantizer", QUANTIZED),
    "onnx": ("lolvit_export.quantization.onnx:OnnxQuantizer", _INTEGERS),
    "qnn": ("lolvit_export.quantization.qnn:QnnQuantizer", _INTEGERS),
}
NO_FOUR_BITS = "it has no convolution of 4-bit weights, tflite and coreml have"
# What a format is quantized from, where it is not fp32: HTP has no such arithmetic.
_BASES = {"qnn": "fp16"}


def base_precision(format: str) -> str:
    """Return the precision of the artifact that a format's quantizer starts from."""
    return _BASES.get(format, "fp32")
