"""What each layer costs: the loss when it alone is quantized."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from lolvit_export.quantization.evaluator import Score
from lolvit_export.quantization.plan import LayerSensitivity, Method
from lolvit_export.quantization.quantizer import Layer
from lolvit_export.quantization.trials import Trials

IMAGES = 8  # enough to order layers by
BUDGET_S = 120.0  # for all layers of an artifact


def ranked(
    trials: Trials,
    operations: Sequence[str],
    method: Method,
    progress: Callable[[int, int], None],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[LayerSensitivity, ...]:
    """Return the layers of these kinds, the costliest first.

    Each is quantized by itself. Where all of them would take longer than `budget_s` seconds, so
    many neighbours are quantized together that they don't, and each has its group's figures.
    """
    layers = trials.layers(operations)
    start = clock()
    found: list[LayerSensitivity] = []
    size = 1
    while len(found) < len(layers):
        group = layers[len(found) : len(found) + size]
        began = clock()
        found += _alone(trials, layers, group, method)
        left = budget_s - (clock() - start)
        size = _group_size(len(layers) - len(found), clock() - began, left)
        progress(len(found), len(layers))
    return tuple(sorted(found, key=lambda each: (each.top1_agreement, each.snr_db)))


def _group_size(layers: int, trial_s: float, left_s: float) -> int:
    """Return how many layers a trial has to take so that the rest fits into the time left."""
    trials = max(1.0, left_s / max(trial_s, 1e-6))
    return max(1, math.ceil(layers / trials))


def _alone(
    trials: Trials, layers: Sequence[Layer], group: Sequence[Layer], method: Method
) -> list[LayerSensitivity]:
    names = {layer.name for layer in group}
    kinds = sorted({layer.operation for layer in group})
    others = [layer.name for layer in layers if layer.name not in names]
    score: Score = trials.score(trials.plan(kinds, method, others), IMAGES)
    return [
        LayerSensitivity(
            layer=layer.name,
            operation=layer.operation,
            snr_db=score.snr_db,
            top1_agreement=score.top1_agreement,
        )
        for layer in group
    ]
