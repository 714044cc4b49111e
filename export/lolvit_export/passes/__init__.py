"""The static rewrite: what a device needs done to a captured graph, in order."""

from __future__ import annotations

from lolvit_export.passes.cancel_transposes import CancelTransposes
from lolvit_export.passes.drop_expand import DropExpand
from lolvit_export.passes.drop_identities import DropIdentities
from lolvit_export.passes.exact_windows import ExactWindows
from lolvit_export.passes.fold_attention_scale import FoldAttentionScale
from lolvit_export.passes.fold_batch_norm import FoldBatchNorm
from lolvit_export.passes.plain_layouts import PlainLayouts
from lolvit_export.passes.plain_products import PlainProducts
from lolvit_export.passes.rewrite import Refusal, Rewrite, apply, apply_all
from lolvit_export.passes.split_concats import SplitConcats
from lolvit_export.passes.split_heads import SplitHeads
from lolvit_export.passes.static_attention import StaticAttention
from lolvit_export.passes.unstride_slices import UnstrideSlices

# The order matters; each line says why it stands where it does.
STATIC_REWRITE: tuple[Rewrite, ...] = (
    PlainLayouts(),  # first: the others know two changes of layout, not twenty
    PlainProducts(),  # before all that look for matmul
    DropIdentities(),  # early: copies and eval dropout would hide producers from all below
    CancelTransposes(),  # early: so would transposes that undo each other
    FoldBatchNorm(),  # before the heads are split: a split projection must own its BatchNorm
    ExactWindows(),  # needs nothing of the others
    UnstrideSlices(),  # needs nothing of the others
    DropExpand(),  # after identities: only expands that change a shape are left
    SplitHeads(),  # gives the query a projection of its own, which the scale is folded into
    FoldAttentionScale(),  # leaves ReLU right behind the product, which the next one looks for
    StaticAttention(),  # adds transposes of its own
    SplitConcats(),  # after the heads are split and the scale folded: both look for one convolution
    CancelTransposes(),  # again, last: the swaps around attention meet the ones inside and vanish
)

__all__ = ["STATIC_REWRITE", "Refusal", "Rewrite", "apply", "apply_all"]
