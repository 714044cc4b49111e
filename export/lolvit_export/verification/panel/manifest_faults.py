"""Faults of a manifest: what apps do with an image before and after the artifact. Tensors show
nothing of them; `verification.manifest_check` compares the manifest with the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lolvit.manifest import Preprocessing

_PIXELS = 8
_Labels = tuple[str, ...] | None
_Injected = tuple[Preprocessing, _Labels]


@dataclass(frozen=True)
class ManifestFault:
    """A fault of a manifest; `inject` returns its preprocessing and labels, changed."""

    name: str
    inject: Callable[[Preprocessing, _Labels], _Injected]


def _changed(preprocessing: Preprocessing, **changes: Any) -> Preprocessing:
    return Preprocessing.model_validate(preprocessing.model_dump() | changes)


def _labels_shifted(preprocessing: Preprocessing, labels: _Labels) -> _Injected:
    return preprocessing, (*labels[1:], *labels[:1]) if labels is not None else None


def _not_normalized(preprocessing: Preprocessing, labels: _Labels) -> _Injected:
    channels = preprocessing.channels
    return _changed(preprocessing, mean=(0.0,) * channels, std=(1.0,) * channels), labels


def _other_interpolation(preprocessing: Preprocessing, labels: _Labels) -> _Injected:
    other = {"bicubic": "bilinear", "bilinear": "bicubic"}[preprocessing.interpolation]
    return _changed(preprocessing, interpolation=other), labels


def _crop_smaller(preprocessing: Preprocessing, labels: _Labels) -> _Injected:
    """The photo is resized to a box that is 8 pixels larger than it should be."""
    side = min(preprocessing.size)
    box = side / preprocessing.crop_pct + _PIXELS
    return _changed(preprocessing, crop_pct=side / box), labels


MANIFEST_FAULTS = (
    ManifestFault("labels shifted by one", _labels_shifted),
    ManifestFault("mean and standard deviation left out", _not_normalized),
    ManifestFault("bilinear in place of bicubic", _other_interpolation),
    ManifestFault("crop off by 8 pixels", _crop_smaller),
)
