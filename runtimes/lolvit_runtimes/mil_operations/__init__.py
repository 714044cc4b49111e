"""The MIL operations of image models, executed with torch on the CPU.

One function per operation, with MIL's parameter names and defaults; each file ends with its table.
The semantics are those of coremltools' documentation of the MIL operator set up to iOS 16, and of
iOS 17's quantization.
"""

from __future__ import annotations

from lolvit_runtimes.mil_operations.activation import ACTIVATION
from lolvit_runtimes.mil_operations.arguments import Operation, Result
from lolvit_runtimes.mil_operations.convolution import CONVOLUTION
from lolvit_runtimes.mil_operations.elementwise import ELEMENTWISE
from lolvit_runtimes.mil_operations.layout import LAYOUT
from lolvit_runtimes.mil_operations.normalization import NORMALIZATION
from lolvit_runtimes.mil_operations.padding import PADDING
from lolvit_runtimes.mil_operations.pooling import POOLING
from lolvit_runtimes.mil_operations.quantization import QUANTIZATION
from lolvit_runtimes.mil_operations.reduction import REDUCTION

OPERATIONS: dict[str, Operation] = (
    ELEMENTWISE
    | ACTIVATION
    | CONVOLUTION
    | NORMALIZATION
    | PADDING
    | POOLING
    | QUANTIZATION
    | REDUCTION
    | LAYOUT
)

__all__ = ["OPERATIONS", "Operation", "Result"]
