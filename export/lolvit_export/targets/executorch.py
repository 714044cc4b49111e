"""ExecuTorch, with the whole graph in one XNNPACK delegate.

Only fp32. Half precision works but has no advantage: the exporter stores the weights of
convolutions in float32 anyway (8.7 MB of 9.3), LOLViT-X agrees with eager to 47 dB, and one
core of a Xeon with avx512_fp16 takes 4.2 ms, in float32 3.2 ms.
"""

from __future__ import annotations

from lolvit_export.targets import PrecisionSpec, Target

TARGET = Target(
    name="executorch",
    lowering="lolvit_export.lowering.executorch:lower",
    suffix=".pte",
    cost=4,
    precisions={"fp32": PrecisionSpec(100)},
    runtimes={"host": ("executorch",)},
)
