"""The images that quantization is decided on: some to calibrate ranges with, others, never the
same, to judge the result by."""

from __future__ import annotations

from dataclasses import dataclass

from lolvit_runtimes.preprocess import Pixels


@dataclass(frozen=True)
class Images:
    """Crops (H, W, 3) in uint8 as a model's preprocessing makes them.

    `calibration` fits ranges (64 to 512 images of the training split), `tuning` (of the training
    split too) decides what stays in float, `held_out` (of the test split) is what the gates are
    measured on. `labels` are those of `held_out`, None where nothing is known of the images.
    """

    source: str
    calibration: tuple[Pixels, ...]
    tuning: tuple[Pixels, ...]
    held_out: tuple[Pixels, ...]
    labels: tuple[int, ...] | None
