"""Lower to ExecuTorch: the whole graph in one XNNPACK delegate, in the forms that it takes.

Only fp32. Half precision works and gains nothing here: the exporter stores the weights of
convolutions in float32 all the same (8.7 MB of 9.3), LOLViT-X agrees with eager to 47 dB, and one
core of a Xeon with avx512_fp16 takes 4.2 ms for what takes 3.2 in float32.
"""

from __future__ import annotations

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit.manifest import TensorSpec
from lolvit_export.capture import INPUT_NAME, output_classes, recapture
from lolvit_export.rewrites.decompose_layer_norm import DecomposeLayerNorm
from lolvit_export.rewrites.decompose_sdpa import DecomposeSdpa
from lolvit_export.rewrites.matmul_to_bmm import MatmulToBmm
from lolvit_export.rewrites.mean_to_keepdim import MeanToKeepdim
from lolvit_export.rewrites.rewrite import Rewrite, apply_all
from lolvit_export.rewrites.sum_to_matmul import SumToMatmul
from lolvit_export.targets.lowering import Lowered, LoweringRequest

# What XNNPACK takes in place of what it does not, so that no operation ends its delegate. LOLViT-X
# goes from 17 delegates to one, MobileViT-XS from 40 to one and from 62 to 26 ms on one Xeon core.
XNNPACK_FORM: tuple[Rewrite, ...] = (
    DecomposeSdpa(),  # before the products: it leaves two
    DecomposeLayerNorm(),  # needs nothing of the others
    SumToMatmul(),  # before the products: it leaves one
    MatmulToBmm(),  # after all that leave a product
    MeanToKeepdim(),  # needs nothing of the others
)
OUTPUT_NAME = "logits"


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-fp32.pte`: float32 image (1, 3, H, W) in, float32 logits out."""
    if "fp32" not in request.precisions:
        return []
    shape = (1, 3, *request.preprocess.size)
    form, _ = apply_all(XNNPACK_FORM, graph)
    edge = to_edge_transform_and_lower(recapture(form), partitioner=[XnnpackPartitioner()])
    image = TensorSpec(name=INPUT_NAME, shape=shape, layout="NCHW", values="normalized")
    logits = TensorSpec(
        name=OUTPUT_NAME, shape=(1, output_classes(graph)), layout="NC", values="logits"
    )
    path = request.folder / "model-fp32.pte"
    write_atomic(path, bytes(edge.to_executorch().buffer))
    return [Lowered(path, "fp32", image, logits)]
