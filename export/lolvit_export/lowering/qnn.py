"""Lower to an ONNX model whose operations are all supported by Qualcomm's HTP.

The file holds float32 weights, and HTP computes them in half precision. It opens on any Snapdragon
with ONNX Runtime's QNN provider, which compiles it there; `qnn_contexts.py` compiles it ahead of
time.
"""

from __future__ import annotations

import onnx
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit_export.lowering.onnx import to_onnx
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.rewrites.avg_pool_to_matmul import AvgPoolToMatmul
from lolvit_export.rewrites.merge_heads_block_diagonal import MergeHeadsBlockDiagonal
from lolvit_export.rewrites.rewrite import Rewrite, apply_all
from lolvit_export.shapes import ensure_shapes

# What HTP needs beyond the static rewrite. The order does not matter: they share no operation.
HTP_REWRITE: tuple[Rewrite, ...] = (
    AvgPoolToMatmul(),  # windows of 3x3 are estimated at 0.7 ms each
    MergeHeadsBlockDiagonal(),  # splitting channels into heads moves all of them, twice a block
)
# These fusions create an attention operation that the provider does not support.
_UNFUSED = ("fuse_attention", "fuse_qkv")


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-fp16-htp.onnx`: float32 image (1, C, H, W) in, the graph's outputs out."""
    ensure_shapes(graph, request.image.shape)
    rewritten, _ = apply_all(HTP_REWRITE, graph)
    names = [spec.name for spec in request.outputs]
    model = to_onnx(rewritten, names, unfused=_UNFUSED)
    onnx.checker.check_model(model, full_check=True)
    (precision,) = request.precisions
    write_atomic(request.path(precision), model.SerializeToString())
    return [request.lowered(precision)]
