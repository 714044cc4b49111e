"""Short ways to run the models of tests: one image in, logits out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

INPUT = "image"  # of the models that tests export


def run_image(session: Any, image: np.ndarray) -> np.ndarray:
    """Return the only output of a session for an image."""
    name = session.inputs[0].name if hasattr(session, "inputs") else INPUT
    (found,) = session.run({name: image}).values()
    return found


def run_eager(model: nn.Module, image: np.ndarray) -> np.ndarray:
    """Return what eager PyTorch gives for an image, in float32."""
    with torch.no_grad():
        return model(torch.from_numpy(image)).numpy()
