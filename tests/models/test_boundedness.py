"""Activations stay within half precision, also far outside what BatchNorm was calibrated on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lolvit.models import VARIANTS
from tests.models.conftest import Calibrated
from tests.models.observing import magnitudes

SIDE = 256
LARGEST = 1e4  # half precision ends at 65,504
# Random weights: far outside calibration scores are larger, and so is the part of rounding.
AGREEMENT_DB = {1.0: 40.0, 4.0: 35.0}

slow = pytest.mark.slow
every_variant = pytest.mark.parametrize(
    "name", [name if name == "lolvit_xx" else pytest.param(name, marks=slow) for name in VARIANTS]
)
half_and_single = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


def snr_db(signal: Tensor, other: Tensor) -> float:
    noise = float((signal.double() - other.double()).square().sum())
    return 10 * math.log10(float(signal.double().square().sum()) / noise)


@every_variant
@half_and_single
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_no_value_exceeds_ten_thousand_on_other_photos(
    calibrated: Calibrated, name: str, dtype: torch.dtype, scale: float
) -> None:
    model, photos = calibrated(name, SIDE)
    seen = magnitudes(model.to(dtype), (photos * scale).to(dtype))
    assert "aten.bmm.default" in seen and "aten.relu.default" in seen  # functions are seen too
    assert {operation: m for operation, m in seen.items() if not m <= LARGEST} == {}


@every_variant
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_half_precision_agrees_with_single(calibrated: Calibrated, name: str, scale: float) -> None:
    model, photos = calibrated(name, SIDE)
    with torch.no_grad():
        single = model(photos * scale)
        half = model.half()((photos * scale).half())
    assert snr_db(single, half) >= AGREEMENT_DB[scale]
