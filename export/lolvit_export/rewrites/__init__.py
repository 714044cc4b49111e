"""The rewrites of a captured graph, in the order in which they are applied.

`STATIC_REWRITE` is for every target, `CPU_REWRITES` and `INTEGER_REWRITES` for those that want
them; what only one target needs is in that target's file.
"""

from __future__ import annotations

from lolvit_export.rewrites.adaptive_max_pool_to_max_pool import AdaptiveMaxPoolToMaxPool
from lolvit_export.rewrites.antialiased_resize_to_matmul import AntialiasedResizeToMatmul
from lolvit_export.rewrites.avg_pool_to_depthwise_conv import AvgPoolToDepthwiseConv
from lolvit_export.rewrites.bilinear_to_matmul import BilinearToMatmul
from lolvit_export.rewrites.bitwise_to_logical import BitwiseToLogical
from lolvit_export.rewrites.bucketize_to_sum import BucketizeToSum
from lolvit_export.rewrites.cancel_transposes import CancelTransposes
from lolvit_export.rewrites.complex_to_pairs import ComplexToPairs
from lolvit_export.rewrites.cumprod_to_products import CumprodToProducts
from lolvit_export.rewrites.decompose_arithmetic import DecomposeArithmetic
from lolvit_export.rewrites.decompose_distances import DecomposeDistances
from lolvit_export.rewrites.deform_conv_to_grid_sample import DeformConvToGridSample
from lolvit_export.rewrites.einsum_to_matmul import EinsumToMatmul
from lolvit_export.rewrites.fold_attention_scale import FoldAttentionScale
from lolvit_export.rewrites.fold_batch_norm import FoldBatchNorm
from lolvit_export.rewrites.fold_constants import FoldConstants
from lolvit_export.rewrites.fold_to_pixel_shuffle import FoldToPixelShuffle
from lolvit_export.rewrites.index_fill_to_where import IndexFillToWhere
from lolvit_export.rewrites.instance_norm_to_batch_norm import InstanceNormToBatchNorm
from lolvit_export.rewrites.join_pointwise_convs import JoinPointwiseConvs
from lolvit_export.rewrites.median_to_sort import MedianToSort
from lolvit_export.rewrites.normalize_layout_ops import NormalizeLayoutOps
from lolvit_export.rewrites.pad_avg_pool_to_divisible import PadAvgPoolToDivisible
from lolvit_export.rewrites.remove_expand import RemoveExpand
from lolvit_export.rewrites.remove_identities import RemoveIdentities
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite, apply, apply_all
from lolvit_export.rewrites.rrelu_to_leaky_relu import RreluToLeakyRelu
from lolvit_export.rewrites.split_concat_conv import SplitConcatConv
from lolvit_export.rewrites.split_qkv_projection import SplitQkvProjection
from lolvit_export.rewrites.strided_slice_to_reshape import StridedSliceToReshape
from lolvit_export.rewrites.transpose_relu_attention import TransposeReluAttention
from lolvit_export.rewrites.vector_linear_to_matrix import VectorLinearToMatrix

# The order matters; each line says why it stands where it does.
STATIC_REWRITE: tuple[Rewrite, ...] = (
    NormalizeLayoutOps(),  # first: the others know two changes of layout, not twenty
    EinsumToMatmul(),  # before all that look for matmul
    RemoveIdentities(),  # early: copies and eval dropout would hide producers from all below
    CancelTransposes(),  # early: so would transposes that undo each other
    VectorLinearToMatrix(),  # before constants are folded, of which its matrix is one
    RemoveExpand(),  # after identities: only expands that change a shape are left
    FoldConstants(),  # after dropout and expands; the others want weights, not what these give
    InstanceNormToBatchNorm(),  # before the next one, which folds what it gives
    FoldBatchNorm(),  # before the heads are split: a split projection must own its BatchNorm
    AdaptiveMaxPoolToMaxPool(),  # needs nothing of the others
    AntialiasedResizeToMatmul(),  # needs nothing of the others
    RreluToLeakyRelu(),  # needs nothing of the others
    BilinearToMatmul(),  # needs nothing of the others
    ComplexToPairs(),  # after products are matmul and constants are folded
    CumprodToProducts(),  # needs nothing of the others
    BitwiseToLogical(),  # needs nothing of the others
    BucketizeToSum(),  # after constants are folded
    DecomposeArithmetic(),  # needs nothing of the others
    DecomposeDistances(),  # needs nothing of the others
    DeformConvToGridSample(),  # needs nothing of the others
    IndexFillToWhere(),  # after constants are folded
    MedianToSort(),  # needs nothing of the others
    PadAvgPoolToDivisible(),  # needs nothing of the others
    FoldToPixelShuffle(),  # needs nothing of the others
    StridedSliceToReshape(),  # needs nothing of the others
    SplitQkvProjection(),  # gives the query a projection of its own, which the scale is folded into
    FoldAttentionScale(),  # leaves ReLU right behind the product, which the next one looks for
    TransposeReluAttention(),  # adds transposes of its own
    CancelTransposes(),  # again, last: the swaps around attention meet the ones inside and vanish
)

# After STATIC_REWRITE, for floats on a CPU. Integer kernels and accelerators take one wide
# convolution sooner than a sum of narrow ones, which they round, or move, once more.
CPU_REWRITES: tuple[Rewrite, ...] = (SplitConcatConv(),)

# After STATIC_REWRITE, for what is quantized and runs on a CPU.
INTEGER_REWRITES: tuple[Rewrite, ...] = (
    AvgPoolToDepthwiseConv(),  # needs exact windows
    JoinPointwiseConvs(),  # needs nothing of the other
)

__all__ = [
    "CPU_REWRITES", "INTEGER_REWRITES", "STATIC_REWRITE", "MatchFailure", "Rewrite", "apply",
    "apply_all",
]  # fmt: skip
