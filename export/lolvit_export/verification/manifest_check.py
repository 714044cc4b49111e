"""Compare a manifest with the checkpoint beside it: preprocessing and labels, which no comparison
of an artifact's outputs with eager's can see, as both are given the same image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lolvit.errors import GateFailedError
from lolvit.manifest import Manifest, Preprocessing
from lolvit.models.checkpoint import read_state
from lolvit.models.loading import recorded_preprocessing


def check_manifest(manifest: Manifest, weights: Path) -> None:
    """Check that the manifest has the preprocessing and the labels of the checkpoint at `weights`.

    Raises:
        GateFailedError: it has others.
    """
    if weights.suffix != ".safetensors":  # a program records neither
        return
    found = differences(manifest.preprocessing, manifest.labels, read_state(weights)[1])
    if found:
        raise GateFailedError(
            f"its manifest is not the model's: {'; '.join(found)}",
            where=str(weights.parent),
            remedy="do not ship it: export again",
        )


def differences(
    preprocessing: Preprocessing, labels: tuple[str, ...] | None, config: Mapping[str, Any]
) -> list[str]:
    """Return in what a manifest's preprocessing and labels differ from the configuration that the
    export saved with the weights, one line each; what it does not record is not compared."""
    found: list[str] = []
    expected = recorded_preprocessing(config, "its checkpoint")
    if expected is not None:
        found += [
            f"preprocessing.{name} is {_text(value)}, the model's is {_text(own)}"
            for name, own in expected.model_dump().items()
            if (value := getattr(preprocessing, name)) != own
        ]
    if "labels" in config:
        found += _of_labels(labels or (), tuple(config["labels"] or ()))
    return found


def _of_labels(labels: tuple[str, ...], expected: tuple[str, ...]) -> list[str]:
    if labels == expected:
        return []
    if len(labels) != len(expected):
        return [f"has {len(labels)} labels, the model {len(expected)}"]
    first = next(i for i, (a, b) in enumerate(zip(labels, expected, strict=True)) if a != b)
    return [f"label {first} is '{labels[first]}', the model's is '{expected[first]}'"]


def _text(value: object) -> str:
    return ",".join(f"{each:g}" for each in value) if isinstance(value, tuple) else str(value)
