"""Measurements with a known ratio that need no machine: simulated slots with bursts of disturbance,
and recorded slots of one model split into two candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.coverage.estimators import NAMES, Floats, Pair
from lolvit_benchmarks.harness.schedule import (
    PROFILES,
    SLOTS,
    Profile,
    fitted,
    order_of,
    warm_up_iterations,
)
from lolvit_benchmarks.results.document import ModelResult
from lolvit_benchmarks.results.files import read_result


@dataclass(frozen=True)
class SimulatedMachine:
    """How a simulated machine disturbs: bursts per second, and the standard deviations of the log
    speed of a second (random walk), and of a run."""

    bursts_per_s: float
    drift: float
    spread: float


QUIET_MACHINE = SimulatedMachine(bursts_per_s=0.0, drift=0.002, spread=0.01)
DISTURBED_MACHINE = SimulatedMachine(bursts_per_s=0.2, drift=0.02, spread=0.03)


def simulated(
    generator: np.random.Generator,
    machine: SimulatedMachine,
    *,
    ratio: float = 1.0,
    candidate_ms: float = 4.0,
    profile: Profile = PROFILES["default"],
) -> Pair:
    """Return a pair as the harness would measure it on a simulated machine. A burst lasts about a
    second, in which runs take 30 to 50 % longer, and one run of fifty is interrupted."""
    ms = {"candidate": candidate_ms, "baseline": ratio * candidate_ms}
    plan = fitted(profile, [ms[name] / 1e3 for name in NAMES])
    slots = [
        name for number in range(plan.blocks * plan.rounds) for name in order_of(NAMES, number)
    ]
    warm_up = {name: warm_up_iterations(ms[name] / 1e3) for name in NAMES}
    slot_s = np.asarray([(warm_up[name] + plan.burst) * ms[name] / 1e3 for name in slots])
    ends = np.cumsum(slot_s)
    step = np.asarray([ms[name] / 1e3 for name in slots])
    before = step[:, None] * np.arange(plan.burst, 0, -1)
    starts: Floats = ends[:, None] - before  # of recorded runs
    times = np.asarray([ms[name] for name in slots])[:, None] * np.exp(
        _disturbance(generator, machine, starts, float(ends[-1]))
    )
    times *= generator.lognormal(sigma=machine.spread, size=times.shape)
    times *= np.where(generator.random(times.shape) < 0.02, generator.uniform(1.5, 3), 1.0)
    made = {name: times[[slot == name for slot in slots]] for name in NAMES}
    shape = (plan.blocks * plan.rounds, SLOTS * plan.burst)
    blocks = tuple(np.repeat(range(plan.blocks), plan.rounds).tolist())
    return Pair(made["candidate"].reshape(shape), made["baseline"].reshape(shape), blocks)


def _disturbance(
    generator: np.random.Generator, machine: SimulatedMachine, at_s: Floats, seconds: float
) -> Floats:
    """Return the logarithm of how much longer a run takes that starts at each second."""
    walk = np.cumsum(generator.normal(0, machine.drift, math.ceil(seconds) + 2))
    log = np.interp(at_s, range(walk.size), walk)
    for _ in range(generator.poisson(machine.bursts_per_s * seconds)):
        start, lasts = generator.uniform(0, seconds), generator.exponential(1.0)
        inside = (at_s >= start) & (at_s < start + lasts)
        log = log + inside * np.log(generator.uniform(1.3, 1.5))
    return log


def split(one: ModelResult, generator: np.random.Generator) -> Pair | None:
    """Return two candidates made of one model's recorded slots: those of two neighbouring rounds in
    the order A B B A, with A and B exchanged at random; None of fewer than eight rounds."""
    rounds = len(set(one.sample_round))
    if rounds < 8:
        return None
    slots = np.asarray(one.samples).reshape(rounds, SLOTS, -1)[: rounds // 2 * 2]
    slots = slots.reshape(rounds // 2, 2 * SLOTS, -1)
    exchanged = generator.random(rounds // 2) < 0.5
    slots = np.where(exchanged[:, None, None], slots[:, [1, 0, 3, 2]], slots)
    blocks = stats.round_blocks(one.sample_block, one.sample_round)[: rounds // 2 * 2 : 2]
    flat = (rounds // 2, -1)
    return Pair(slots[:, [0, 3]].reshape(flat), slots[:, [1, 2]].reshape(flat), tuple(blocks))


def splits(paths: Iterable[Path], count: int) -> list[Pair]:
    """Return about `count` pairs made of the models in result files."""
    models = [one for path in paths for r in read_result(path).results for one in r.models]
    generator = np.random.default_rng(0)
    each = math.ceil(count / max(1, len(models)))
    found = [split(one, generator) for one in models for _ in range(each)]
    return [pair for pair in found if pair is not None]
