"""Convolutions that ONNX Runtime may compute as products of matrices.

On x86 it computes convolutions whose weights all have the zero point 0 by a kernel of its own
(MlasConvSym), which multiplies with AVX-512 VNNI at best. With any other zero point it moves each
window into a row and multiplies matrices, for which it has AMX kernels too:

    W ~ scale * q            becomes   W ~ scale * ((q + 1) - 1),   q + 1 stored, the zero point 1

The sums of the input's values, which are multiplied with the zero point, are computed for the zero
point of the input as well. Where sums are long, AMX gains more than the second pass over the result
takes, which is rounded afterwards and not in the kernel.
"""

from __future__ import annotations

import math

import onnx

from lolvit_export.quantization.onnx_graph import Graph, attribute

# Of channels. Other convolutions are computed as products of matrices in any case.
_INPUT_ALIGNMENT, _OUTPUT_ALIGNMENT, _LEAST_OUTPUTS = 4, 4, 16


def gemm_depth(graph: Graph, node: onnx.NodeProto) -> int:
    """Return how many products are summed up for each element of a convolution that ONNX Runtime
    has both kinds of kernels for; 0 for all other operations."""
    if node.op_type != "Conv" or node.input[1] not in graph.weights:
        return 0
    outputs, inputs, *window = graph.array(node.input[1]).shape
    has_both = (
        attribute(node, "group", 1) == 1
        and inputs % _INPUT_ALIGNMENT == 0
        and outputs % _OUTPUT_ALIGNMENT == 0
        and outputs >= _LEAST_OUTPUTS
    )
    return inputs * math.prod(window) if has_both else 0
