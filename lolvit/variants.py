"""The table of variants.

Each matches a MobileViT, its baseline, in parameters (within 3 %), with a classifier no larger than
the baseline's and at least 15 % of its multiply-adds, so that a speedup is never bought with less
model. Imports no torch: benchmarks and the command line read the table too.

Shapes were chosen by measuring: latency follows multiply-adds, so most parameters sit in the last
stage and in the keys and values, which few tokens use. Widths are multiples of 32 (16 in the
smallest), which keeps both halves of a Ghost module at multiples of 16 floats, a vector register.
"""

from __future__ import annotations

from dataclasses import dataclass

# Tasks that backbones get a head for; without one they are classifiers.
HEAD_TASKS = ("detection", "segmentation")


@dataclass(frozen=True)
class Stage:
    """`depth` blocks at one stride; blocks have attention where `heads` is not 0."""

    width: int
    depth: int
    expansion: float
    heads: int = 0
    head_dim: int = 32


@dataclass(frozen=True)
class Variant:
    """A LOLViT, and its baseline: timm's name of the MobileViT with the same number of parameters,
    which it is measured against. `head_width` is of the heads of detection and segmentation, on
    both."""

    name: str
    baseline: str
    stem: int
    stages: tuple[Stage, ...]
    head_width: int


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            name="lolvit_xx",
            baseline="mobilevit_xxs",
            stem=16,
            stages=(
                Stage(width=16, depth=1, expansion=1),
                Stage(width=32, depth=1, expansion=2),
                Stage(width=64, depth=2, expansion=2, heads=2),
                Stage(width=256, depth=2, expansion=2, heads=8),
            ),
            head_width=48,
        ),
        Variant(
            name="lolvit_x",
            baseline="mobilevit_xs",
            stem=32,
            stages=(
                Stage(width=32, depth=1, expansion=1),
                Stage(width=64, depth=1, expansion=2),
                Stage(width=128, depth=2, expansion=2.5, heads=2),
                Stage(width=288, depth=3, expansion=2, heads=9),
            ),
            head_width=64,
        ),
        Variant(
            name="lolvit_s",
            baseline="mobilevit_s",
            stem=32,
            stages=(
                Stage(width=32, depth=1, expansion=1),
                Stage(width=64, depth=1, expansion=2),
                Stage(width=128, depth=2, expansion=2, heads=2),
                Stage(width=480, depth=3, expansion=2, heads=15),
            ),
            head_width=96,
        ),
    )
}
