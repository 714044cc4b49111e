"""Sensitivity analysis: the accuracy with only one layer quantized."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.evaluator import Score
from lolvit_export.quantization.plan import LayerSensitivity, Method
from lolvit_export.quantization.quantizer import Layer

IMAGES = 8  # enough to order layers by
BUDGET_S = 120.0  # for all layers of an artifact


def rank_layers(
    candidates: Candidates,
    operations: Sequence[str],
    method: Method,
    progress: Callable[[int, int], None],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[LayerSensitivity, ...]:
    """Return the layers of these kinds, the most sensitive first.

    Each is quantized by itself. Where all of them would take longer than `budget_s` seconds, so
    many neighbours are quantized together that they don't, and each has its group's figures.
    """
    layers = candidates.layers(operations)
    start = clock()
    found: list[LayerSensitivity] = []
    size = 1
    while len(found) < len(layers):
        group = layers[len(found) : len(found) + size]
        began = clock()
        found += _evaluate_alone(candidates, layers, group, method)
        left = budget_s - (clock() - start)
        size = _group_size(len(layers) - len(found), clock() - began, left)
        progress(len(found), len(layers))
    return tuple(sorted(found, key=lambda each: (each.top1_agreement, each.snr_db)))


def _group_size(layers: int, evaluation_s: float, left_s: float) -> int:
    """Return how many layers one evaluation has to take so that the rest fits the time left."""
    evaluations = max(1.0, left_s / max(evaluation_s, 1e-6))
    return max(1, math.ceil(layers / evaluations))


def _evaluate_alone(
    candidates: Candidates, layers: Sequence[Layer], group: Sequence[Layer], method: Method
) -> list[LayerSensitivity]:
    names = {layer.name for layer in group}
    kinds = sorted({layer.operation for layer in group})
    others = [layer.name for layer in layers if layer.name not in names]
    score: Score = candidates.score(candidates.plan(kinds, method, others), IMAGES)
    return [
        LayerSensitivity(
            layer=layer.name,
            operation=layer.operation,
            snr_db=score.snr_db,
            top1_agreement=score.top1_agreement,
        )
        for layer in group
    ]
