"""A torch.export program of the rewritten graph, for the PyTorch runtimes.

Only fp32: it serves to compare other runtimes with eager PyTorch in float32.
"""

from __future__ import annotations

from lolvit_export.targets import PrecisionSpec, Target

TARGET = Target(
    name="torch",
    lowering="lolvit_export.lowering.torch_export:lower",
    suffix=".pt2",
    cost=3,
    precisions={"fp32": PrecisionSpec(100)},
    runtimes={"host": ("eager",)},
)
