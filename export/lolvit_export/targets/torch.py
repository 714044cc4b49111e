"""A torch.export program, the rewritten graph as it is: for the reference runtimes.

Only fp32: it is there to compare runtimes with eager PyTorch, which is in float32.
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
