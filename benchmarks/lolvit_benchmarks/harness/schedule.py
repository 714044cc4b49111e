"""How many runs are made, and in which order: pure functions.

A measurement is made of blocks, a block of rounds, a round of one slot a model there and one back
(A B B A for two), a slot of a few warm-up iterations and a burst of recorded runs. Each model is
thus affected alike by a steady change of speed. Disturbances by other processes come in bursts of
about a second: rounds are short, so that a burst spoils few of them, and many, so that the spoiled
ones are trimmed. The warm-up iterations bring the model's weights back into the caches after the
other's, as they are when an application runs one model again and again, and the processor's clock
becomes steady: with three of them a model of 2.7 ms was timed 2.9 % slower than a bare loop times
it, with twelve 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Name = Literal["quick", "default", "reference"]

SLOTS = 2  # of each model in a round
# The warm-up iterations of a slot: as many as take this long, at least one, at most these.
WARM_UP_S, MAX_WARM_UP_ITERATIONS = 0.025, 20
SHORT_BURST = 3  # of which half as many rounds are better than all of shorter ones


@dataclass(frozen=True)
class Profile:
    """How long to measure.

    `blocks` x `rounds` x 2 x `burst` runs are recorded of each model. `seconds` is the most that
    two models may take, so that slow ones get fewer; with `at_least`, it is the least, so that fast
    ones get more. The models are loaded anew for each block, of which there are therefore an even
    number: each of two models is the first to be loaded in half of them. With `processes`, a block
    has a process of its own.
    """

    name: Name
    blocks: int
    rounds: int
    burst: int
    seconds: float
    at_least: bool = False
    cool_down_s: float = 0.0
    warm_up_runs: int = 5
    warm_up_s: float = 0.3
    processes: bool = False

    @property
    def runs(self) -> int:
        """The number of recorded runs of each model."""
        return self.blocks * self.rounds * SLOTS * self.burst


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("quick", blocks=4, rounds=4, burst=3, seconds=6.0),
        Profile("default", blocks=6, rounds=7, burst=5, seconds=13.0),
        Profile(
            "reference", blocks=10, rounds=13, burst=5, seconds=60.0, at_least=True,
            cool_down_s=2.0, warm_up_runs=16, warm_up_s=1.0, processes=True,
        ),
    )
}  # fmt: skip
SELECTION = PROFILES["quick"]  # of each model's fastest precision, which is then measured


def warm_up_iterations(run_s: float) -> int:
    """Return the warm-up iterations in each slot of a model whose runs take `run_s` seconds."""
    return min(MAX_WARM_UP_ITERATIONS, max(1, math.ceil(WARM_UP_S / run_s)))


def round_s(burst: int, runs_s: Sequence[float]) -> float:
    """Return the seconds of one round of models that take `runs_s` seconds each."""
    return SLOTS * sum((burst + warm_up_iterations(run_s)) * run_s for run_s in runs_s)


def fitted(profile: Profile, runs_s: Sequence[float]) -> Profile:
    """Return the profile with the rounds and bursts that its time allows, or asks for, when one run
    of each model takes `runs_s` seconds: shorter bursts first, down to `SHORT_BURST`, then half the
    rounds, then shorter bursts again. Never fewer than one round of bursts of one run in each
    block. A profile's time is that of two models; several more get as much each."""
    profile = replace(profile, seconds=profile.seconds * max(1.0, len(runs_s) / 2))
    if profile.at_least:
        return _lengthened(profile, runs_s)
    return _shortened(profile, runs_s)


def _lengthened(profile: Profile, runs_s: Sequence[float]) -> Profile:
    rounds = math.ceil(profile.seconds / (profile.blocks * round_s(profile.burst, runs_s)))
    return replace(profile, rounds=max(profile.rounds, rounds))


def _shortened(profile: Profile, runs_s: Sequence[float]) -> Profile:
    block_s = profile.seconds / profile.blocks
    for burst in range(profile.burst, 0, -1):
        rounds = int(block_s / round_s(burst, runs_s))
        least = profile.rounds if burst > SHORT_BURST else profile.rounds // 2
        if rounds >= max(1, least):
            return replace(profile, burst=burst, rounds=min(profile.rounds, rounds))
    rounds = int(block_s / round_s(1, runs_s))
    return replace(profile, burst=1, rounds=max(1, min(profile.rounds, rounds)))


def order_of(names: Sequence[str], number: int) -> list[str]:
    """Return the order of the slots in round `number`: there and back, the first one rotating, so
    that no model always follows the same other."""
    start = number % len(names)
    there = [*names[start:], *names[:start]]
    return [*there, *reversed(there)]
