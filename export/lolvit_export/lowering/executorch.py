"""Lower to ExecuTorch, with the whole graph in one XNNPACK delegate."""

from __future__ import annotations

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit_export.capture import recapture
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.rewrites.decompose_layer_norm import DecomposeLayerNorm
from lolvit_export.rewrites.decompose_sdpa import DecomposeSdpa
from lolvit_export.rewrites.matmul_to_bmm import MatmulToBmm
from lolvit_export.rewrites.mean_to_keepdim import MeanToKeepdim
from lolvit_export.rewrites.rewrite import Rewrite, apply_all
from lolvit_export.rewrites.sum_to_matmul import SumToMatmul

# What XNNPACK takes in place of what it does not, so that no operation ends its delegate. LOLViT-X
# goes from 17 delegates to one, MobileViT-XS from 40 to one and from 62 to 26 ms on one Xeon core.
XNNPACK_FORM: tuple[Rewrite, ...] = (
    DecomposeSdpa(),  # before the products: it leaves two
    DecomposeLayerNorm(),  # needs nothing of the others
    SumToMatmul(),  # before the products: it leaves one
    MatmulToBmm(),  # after all that leave a product
    MeanToKeepdim(),  # needs nothing of the others
)


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-fp32.pte`: float32 image (B, C, H, W) in, the graph's outputs out, in order: a
    program has no names."""
    form, _ = apply_all(XNNPACK_FORM, graph)
    edge = to_edge_transform_and_lower(recapture(form), partitioner=[XnnpackPartitioner()])
    (precision,) = request.precisions
    write_atomic(request.path(precision), bytes(edge.to_executorch().buffer))
    return [request.lowered(precision)]
