"""All randomness of a run is a function of its seed and of where it is: of (epoch, image) for
augmentation, of (epoch, step, process) for mixing, dropout and stochastic depth. A run that is
resumed thus sees what it would have seen, with any number of loader workers."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import torch

ORDER, IMAGE, STEP, SETUP = range(4)  # what a stream of numbers is for
_BITS: Final = 32


def seed_everything(purpose: int, *place: int) -> None:
    """Seed Python's, numpy's and torch's generators for one purpose at one place."""
    state = np.random.SeedSequence((purpose, *place)).generate_state(1)[0]
    random.seed(int(state))
    np.random.seed(int(state) % 2**_BITS)
    torch.manual_seed(int(state))


def shuffled(count: int, *place: int) -> list[int]:
    """Return 0 … count - 1 in the order that belongs to a place."""
    generator = np.random.default_rng((ORDER, *place))
    return [int(index) for index in generator.permutation(count)]
