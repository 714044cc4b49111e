"""Core AI, the successor of Core ML on iOS 27 and macOS 27: verified in Apple's own runtime, which
runs on Linux too.

The runtime is a second or more per image slower than others: it is a reference. Its fp16 rounds
each operation's result.
"""

from __future__ import annotations

from lolvit_export.targets import PrecisionSpec, Target

TARGET = Target(
    name="coreai",
    lowering="lolvit_export.lowering.coreai:lower",
    suffix=".aimodel",
    cost=4,
    precisions={
        "fp32": PrecisionSpec(100),
        # It rounds more than eager there: 11 dB less in an untrained resnet10t of timm.
        "fp16": PrecisionSpec(45, noise_margin_db_by_runtime={"coreai": 13}),
    },
    runtimes={"host": ("coreai",)},
)
