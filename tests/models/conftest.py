"""Variants with their BatchNorm calibrated on photos, and photos that calibrated nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lolvit.models import create_model
from lolvit.models.calibrate import calibrate_batch_norm
from lolvit.models.factory import preprocessing_of
from lolvit_export.photos import calibration_images, verification_pixels
from lolvit_runtimes.preprocessing import normalize

Calibrated = Callable[[str, int], tuple[nn.Module, Tensor]]


@pytest.fixture(scope="session")
def calibrated() -> Calibrated:
    """Give a variant calibrated at a side, and eight other photos (8, 3, side, side)."""
    made: dict[tuple[str, int], tuple[nn.Module, Tensor]] = {}

    def get(name: str, side: int) -> tuple[nn.Module, Tensor]:
        if (name, side) not in made:
            made[name, side] = _calibrate(name, side)
        model, photos = made[name, side]
        return copy.deepcopy(model), photos

    return get


def _calibrate(name: str, side: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = create_model(name)
    preprocessing = preprocessing_of(model, (side, side))
    calibrate_batch_norm(model, torch.from_numpy(calibration_images(preprocessing)))
    others = [normalize(pixels, preprocessing) for pixels in verification_pixels(preprocessing)]
    return model, torch.from_numpy(np.concatenate(others))
