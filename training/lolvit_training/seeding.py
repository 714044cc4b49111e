"""All random numbers are a function of the seed and of the position in the run: (epoch, image) for
augmentation, (epoch, step, rank) for mixup, dropout and stochastic depth. A resumed run thus gets
the same numbers, with any number of loader workers."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import torch

ORDER, IMAGE, STEP, SETUP = range(4)  # what a stream of numbers is for
_BITS: Final = 32


def seed_everything(purpose: int, *position: int) -> None:
    """Seed Python's, numpy's and torch's generators for one purpose at one position of the run."""
    state = np.random.SeedSequence((purpose, *position)).generate_state(1)[0]
    random.seed(int(state))
    np.random.seed(int(state) % 2**_BITS)
    torch.manual_seed(int(state))


def shuffled(count: int, *position: int) -> list[int]:
    """Return a permutation of 0 … count - 1 that depends on the position alone."""
    generator = np.random.default_rng((ORDER, *position))
    return [int(index) for index in generator.permutation(count)]
