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
    """Seed Python's, numpy's and torch's generators, of the CPU and of CUDA where it is in use, for
    one purpose at one position of the run."""
    state = np.random.SeedSequence((purpose, *position)).generate_state(1)[0]
    random.seed(int(state))
    np.random.seed(int(state) % 2**_BITS)
    torch.default_generator.manual_seed(int(state))
    # torch.manual_seed, before CUDA is in use, formats a stack trace for it: a tenth of an epoch
    # of small images, as each image is a position.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(int(state))


def shuffled(count: int, *position: int) -> list[int]:
    """Return a permutation of 0 … count - 1 that depends on the position alone."""
    generator = np.random.default_rng((ORDER, *position))
    return [int(index) for index in generator.permutation(count)]
