"""Which formats can be quantized, to which precisions, and by what: data alone, like `LOWERINGS`.

A quantizer is one file with a class that follows `Quantizer`, and one line here.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from lolvit.manifest import Artifact, Precision, Preprocess
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.precisions import QUANTIZERS
from lolvit_export.quantization.quantizer import Quantizer


def open_quantizer(
    fp32_path: Path, fp32: Artifact, images: Images, preprocess: Preprocess, precision: Precision
) -> Quantizer:
    """Return the quantizer of an fp32 artifact; its module is imported on use."""
    module, _, name = QUANTIZERS[fp32.format][0].partition(":")
    quantizer_class: Any = getattr(importlib.import_module(module), name)
    quantizer: Quantizer = quantizer_class(fp32_path, fp32, images, preprocess, precision)
    return quantizer
