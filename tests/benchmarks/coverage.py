"""How often the 95 % interval of a speedup holds the true one, and how wide it is:
`python -m tests.benchmarks.coverage [RESULT.json ...] [--record COUNT]`.

Pairs of measurements with a known ratio come from three sources: simulated slots with bursts of
disturbance; result files, where each model's own slots are split into two candidates; and
`--record`, which times a fixed computation against itself by the harness on this machine, as often
as told. Of each pair four estimators make an interval: the one of results (20 % trimmed mean of the
rounds' log ratios), their median with order statistics, Hodges and Lehmann's, and the former ratio
of medians with a bootstrap by rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval
from lolvit_benchmarks.harness.schedule import (
    PROFILES,
    SLOTS,
    Profile,
    fitted,
    order_of,
    warm_up_iterations,
)
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    SystemMonitor,
    available_cores,
    pinned,
)
from lolvit_benchmarks.harness.timing import Recording, Runnable, measure
from lolvit_benchmarks.results.document import ModelResult
from lolvit_benchmarks.results.files import read_result

Floats = npt.NDArray[np.float64]

NAMES = ("candidate", "baseline")
QUIET = quality.Conditions(cores=2)
RESAMPLES = 300


@dataclass(frozen=True)
class Pair:
    """The samples of two candidates in milliseconds, each of shape (rounds, samples of a round),
    and the block of each round."""

    candidate: Floats
    baseline: Floats
    blocks: tuple[int, ...]

    def series(self) -> tuple[quality.Series, quality.Series]:
        """Return the candidate and the baseline as results are evaluated."""
        each = self.candidate.shape[1]
        rounds = np.repeat(range(len(self.blocks)), each).tolist()
        blocks = np.repeat(self.blocks, each).tolist()
        candidate, baseline = (
            quality.Series(name, getattr(self, name).ravel().tolist(), blocks, rounds)
            for name in NAMES
        )
        return candidate, baseline

    def log_ratios(self) -> Floats:
        """Return the log ratio of each round."""
        candidate, baseline = self.series()
        return np.asarray(
            stats.round_log_ratios(baseline.samples, candidate.samples, candidate.rounds)
        )


# Estimators.


def trimmed_mean(pair: Pair) -> Interval:
    """The speedup of results."""
    return quality.speedup_of(*pair.series()).interval


def median(pair: Pair) -> Interval:
    """The median of the rounds' log ratios between two order statistics."""
    logs = np.sort(pair.log_ratios())
    below, chance = 0, 0.5**logs.size
    while chance <= 0.025 and below < logs.size // 2:
        below += 1
        chance += math.comb(logs.size, below) * 0.5**logs.size
    place = max(0, below - 1)
    return _interval(float(np.median(logs)), float(logs[place]), float(logs[-1 - place]))


def hodges_lehmann(pair: Pair) -> Interval:
    """The median of the means of all pairs of rounds, between those that Wilcoxon's signed ranks
    give (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963)."""
    logs = pair.log_ratios()
    rows, columns = np.triu_indices(logs.size)
    means = np.sort((logs[rows] + logs[columns]) / 2)
    count = logs.size
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    place = max(0, math.floor(count * (count + 1) / 4 - 1.96 * spread))
    return _interval(float(np.median(means)), float(means[place]), float(means[-1 - place]))


def ratio_of_medians(pair: Pair) -> Interval:
    """The ratio of all samples' medians with the bootstrap that draws rounds, then pairs of samples
    within them."""
    generator = np.random.default_rng(0)
    rounds, each = pair.candidate.shape
    rows = generator.integers(rounds, size=(RESAMPLES, rounds, 1))
    columns = generator.integers(each, size=(RESAMPLES, rounds, each))
    logs = np.log(np.median(pair.baseline[rows, columns].reshape(RESAMPLES, -1), axis=1))
    logs -= np.log(np.median(pair.candidate[rows, columns].reshape(RESAMPLES, -1), axis=1))
    center = float(np.log(np.median(pair.baseline) / np.median(pair.candidate)))
    low, high = np.quantile(logs, (0.025, 0.975))
    return _interval(center, min(center, float(low)), max(center, float(high)))


def _interval(center: float, low: float, high: float) -> Interval:
    value, lowest, highest = np.exp((center, low, high)).tolist()
    return Interval(value, lowest, highest)


ESTIMATORS: dict[str, Callable[[Pair], Interval]] = {
    "trimmed mean": trimmed_mean,
    "median": median,
    "Hodges-Lehmann": hodges_lehmann,
    "ratio of medians": ratio_of_medians,
}


@dataclass(frozen=True)
class Coverage:
    """Of one estimator on many pairs: the share of intervals that hold the true ratio, and the
    median of half their widths."""

    covered: float
    half_width: float


def coverage(
    pairs: Sequence[Pair], estimator: Callable[[Pair], Interval], truth: float = 1.0
) -> Coverage:
    """Return the coverage of an estimator's intervals."""
    found = [estimator(pair) for pair in pairs]
    covered = sum(interval.spans(truth) for interval in found) / len(found)
    return Coverage(covered, float(np.median([stats.half_width(interval) for interval in found])))


# Sources of pairs.


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
    starts = ends[:, None] - step[:, None] * np.arange(plan.burst, 0, -1)  # of recorded runs
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


def recorded(count: int, profile: Profile = PROFILES["default"]) -> list[Pair]:
    """Return pairs of a fixed computation against itself, timed by the harness on this machine."""
    values = np.random.default_rng(0).standard_normal(1 << 14)
    runnables = [Runnable(name, lambda: np.fft.fft(values)) for name in NAMES]
    with pinned(1, Machine()) as cores:
        monitor = SystemMonitor(Machine(), cores or available_cores())
        return [_recorded(runnables, profile, monitor) for _ in range(count)]


def _recorded(runnables: Sequence[Runnable], profile: Profile, monitor: SystemMonitor) -> Pair:
    recording = Recording()
    measure(runnables, profile, recording, monitor)
    blocks = tuple(entry.block for entry in recording.rounds)
    candidate, baseline = (
        np.asarray(recording.samples(name).ms).reshape(len(blocks), -1) for name in NAMES
    )
    return Pair(candidate, baseline, blocks)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--count", default=200, show_default=True, help="Pairs of each kind.")
@click.option("--record", default=0, help="Pairs to time on this machine, about 2 s each.")
def main(files: tuple[Path, ...], count: int, record: int) -> None:
    """Print the coverage and the half width of each estimator, by kind of pairs."""
    generator = np.random.default_rng(0)
    print(f"{'pairs':36}{'estimator':18}{'covered':>9}{'half width':>12}{'INVALID':>9}")
    for name, machine in (("quiet", QUIET_MACHINE), ("disturbed", DISTURBED_MACHINE)):
        for profile in ("quick", "default", "reference"):
            pairs = [simulated(generator, machine, profile=PROFILES[profile]) for _ in range(count)]
            _report(f"simulated, {name}, {profile}", pairs)
        slower = [simulated(generator, machine, ratio=1 / 1.03) for _ in range(count)]
        found = np.mean([trimmed_mean(pair).high < 1 for pair in slower])
        print(f"a slowdown of 3 % on the {name} machine is found in {found:.1%}")
    if files:
        _report("recorded, one model split", splits(files, count))
    if record:
        _report("recorded, one against itself", recorded(record))


def _report(name: str, pairs: Sequence[Pair]) -> None:
    states = [quality.evaluate(*pair.series(), QUIET).state for pair in pairs]
    invalid = states.count("INVALID") / len(states)
    for estimator, estimate in ESTIMATORS.items():
        found = coverage(pairs, estimate)
        print(
            f"{f'{name} ({len(pairs)})':36}{estimator:18}{found.covered:9.1%}"
            f"{found.half_width:12.2%}{invalid:9.1%}"
        )


if __name__ == "__main__":
    main()
