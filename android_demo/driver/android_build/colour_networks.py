"""Networks that need no training: they find areas of a colour.

By them tests compare whole predictions of detection and segmentation with Python's, on real photos:
their scores are far apart, so that rounding turns none.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

STRIDES = (8, 16, 32)
COLOURS = ("red", "green", "blue")
AREAS = ("dark", *COLOURS)

# Of red, green and blue, normalized to about -2 to 2.
_REDNESS = ((3.0, -1.5, -1.5), (-1.5, 3.0, -1.5), (-1.5, -1.5, 3.0))
_SIDES = ((0.15, 0.0, 0.0), (0.0, 0.15, 0.0), (0.0, 0.0, -0.1), (0.1, 0.0, 0.1))
_SIDE = (3.4, 3.2, 3.6, 3.3)  # cells


def colour_detector() -> nn.Module:
    """Return a detector of red, green and blue things."""
    return ColourDetector().eval()


def colour_segmenter() -> nn.Module:
    """Return a network that tells dark, red, green and blue areas apart."""
    return ColourSegmenter().eval()


class ColourDetector(nn.Module):
    """Scores are by each cell's mean colour, boxes a few cells wide."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = _linear(_REDNESS, (-6.0,) * len(COLOURS))
        self.measure = _linear(_SIDES, _SIDE)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `boxes` (B, 4, N) and `scores` (B, 3, N) of images (B, 3, H, W)."""
        cells = [functional.avg_pool2d(image, stride) for stride in STRIDES]
        scores = [torch.sigmoid(self.classify(each)).flatten(2) for each in cells]
        boxes = [torch.relu(self.measure(each)).flatten(2) for each in cells]
        return {"boxes": torch.cat(boxes, 2), "scores": torch.cat(scores, 2)}


class ColourSegmenter(nn.Module):
    """Logits are by the mean colour of 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        # The biases decide the class of grey, or else rounding would.
        self.classify = _linear(((-1.0, -1.0, -1.0), *_REDNESS), (-1.5, 0.2, 0.0, -0.2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 4, H/8, W/8) of images (B, 3, H, W)."""
        logits: torch.Tensor = self.classify(functional.avg_pool2d(image, STRIDES[0]))
        return logits


def _linear(weights: tuple[tuple[float, ...], ...], biases: tuple[float, ...]) -> nn.Conv2d:
    layer = nn.Conv2d(3, len(weights), 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights)[:, :, None, None])
        assert layer.bias is not None
        layer.bias.copy_(torch.tensor(biases))
    return layer
