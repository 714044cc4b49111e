"""Find what to quantize, how to find ranges and what to leave in float: the fastest of what is good
enough, by measurement.

    1. kinds of operations   each of the quantizer's recipes; the fastest that meets the floors
    2. method of ranges      the others, with that recipe: the most accurate
    3. costly layers         only where the floors are not met: the fewest in float, from the top of
                             the ranking by sensitivity
    4. first layers          few channels on large maps are slow as integers: as many of them in
                             float as makes the whole faster
    5. biases                each layer's mean error taken out of its bias, where the format's
                             quantizer does that and it is worth it; before 3 if the floors need it

Where speed can't be measured on this machine, the recipe that quantizes most is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lolvit.errors import UserError
from lolvit_export.quantization.plan import Candidate, LayerSensitivity, Method, Plan
from lolvit_export.quantization.sensitivity import ranked
from lolvit_export.quantization.trials import Trials

METHODS: tuple[Method, ...] = ("percentile", "mse", "entropy")  # minmax is tried with every recipe
# Speeds nearer than this are the same; the more accurate counts.
_SAME_SPEED = 0.02
_WORTH_DB = 1.0  # with less gained, the simpler plan stays
_LEADING = (1, 2, 3, 4, 6, 8, 9, 10, 12, 16)
# With more in float than this it is another model than the one that was asked for.
_LARGEST_FLOAT_SHARE = 0.5
Say = Callable[[str], None]


@dataclass(frozen=True)
class Floors:
    """What a candidate has to reach on the tuning images."""

    snr_db: float
    top1_agreement: float

    def met(self, candidate: Candidate) -> bool:
        """Whether a candidate reaches them."""
        return candidate.snr_db >= self.snr_db and candidate.top1_agreement >= self.top1_agreement


def search(trials: Trials, floors: Floors, say: Say) -> Plan:
    """Return the plan of the fastest artifact that meets the floors, or, where none does, of the
    most accurate; what was tried is in it."""
    return _Search(trials, floors, say).run()


def search_ranges(trials: Trials, say: Say) -> Plan:
    """Return the plan that quantizes everything, with the most accurate of the methods of ranges,
    and weights compensated or, where that is more accurate, rounded to the nearest."""
    ((kinds, operations),) = trials.quantizer.recipes().items()
    tried: list[Candidate] = []

    def try_out(method: Method, *, compensated: bool) -> None:
        name = f"{kinds}, weights compensated" if compensated else kinds
        tried.append(
            trials.candidate(name, operations, method, timed=False, compensate_weights=compensated)
        )
        say(f"{name}, {method}: {tried[-1].snr_db:.1f} dB")

    methods: tuple[Method, ...] = ("minmax", *METHODS)
    for method in methods:
        try_out(method, compensated=True)
    try_out(_most_accurate(tried).method, compensated=False)
    plan = _plan_of(trials, _most_accurate(tried))
    return plan.model_copy(update={"candidates": tuple(tried)})


def _most_accurate(candidates: Sequence[Candidate]) -> Candidate:
    return max(candidates, key=lambda each: each.snr_db)


def _plan_of(trials: Trials, best: Candidate) -> Plan:
    return trials.plan(
        best.operations,
        best.method,
        best.float_layers,
        correct_biases=best.correct_biases,
        compensate_weights=best.compensate_weights,
    )


class _Search:
    def __init__(self, trials: Trials, floors: Floors, say: Say) -> None:
        self.trials, self.floors, self._say = trials, floors, say
        self.tried: list[Candidate] = []

    def run(self) -> Plan:
        for name, operations in self.trials.quantizer.recipes().items():
            self.try_out(name, operations)
        best = self._best_method(self.choice(self.tried))
        sensitivity = ranked(self.trials, best.operations, best.method, self._say_ranked)
        if not self.floors.met(best):
            best = self._best_biases(best)
        if not self.floors.met(best):
            best = self._best_repair(best, sensitivity)
        if self.floors.met(best):
            best = self._best_lead(best)
        plan = _plan_of(self.trials, self._best_biases(best))
        return plan.model_copy(update={"candidates": tuple(self.tried), "sensitivity": sensitivity})

    def try_out(
        self,
        name: str,
        operations: Sequence[str],
        method: Method = "minmax",
        float_layers: Sequence[str] = (),
        *,
        timed: bool = True,
        correct_biases: bool = False,
    ) -> Candidate:
        found = self.trials.candidate(
            name, operations, method, float_layers, timed=timed, correct_biases=correct_biases
        )
        self.tried.append(found)
        speed = "" if found.times_fp32 is None else f", {found.times_fp32:.2f} times fp32"
        self._say(f"{name}, {method}: {found.snr_db:.1f} dB{speed}")
        return found

    def choice(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the fastest that meets the floors, or else the most accurate."""
        good = [each for each in candidates if self.floors.met(each)]
        if not good:
            return _most_accurate(candidates)
        speeds = [each.times_fp32 for each in good if each.times_fp32 is not None]
        if not speeds:
            return good[0]
        near = [each for each in good if (each.times_fp32 or 0) >= max(speeds) * (1 - _SAME_SPEED)]
        return max(near, key=lambda each: each.snr_db)

    def _best_method(self, best: Candidate) -> Candidate:
        """Return the candidate with the most accurate ranges. The method has no part in speed."""
        candidates = [best]
        for method in METHODS:
            try:
                candidates.append(self.try_out(best.name, best.operations, method, timed=False))
            except UserError as error:  # the format's own tools have no such method
                self._say(f"{method}: {error.what}")
        found = _most_accurate(candidates)
        return found.model_copy(update={"times_fp32": best.times_fp32})

    def _best_biases(self, best: Candidate) -> Candidate:
        """Return the candidate with corrected biases if that is worth it, or else `best`."""
        if best.correct_biases or not self.trials.quantizer.corrects_biases:
            return best
        name = f"{best.name}, biases corrected"
        found = self.try_out(
            name, best.operations, best.method, best.float_layers, timed=False, correct_biases=True
        )
        if found.snr_db < best.snr_db + _WORTH_DB or self.floors.met(best) > self.floors.met(found):
            return best
        return found.model_copy(update={"times_fp32": best.times_fp32})

    def _best_lead(self, best: Candidate) -> Candidate:
        """Return the candidate with as many of the first layers in float as is fastest; none is
        timed once more, as the machine may have become faster or slower since."""
        if best.times_fp32 is None:
            return best
        names = [layer.name for layer in self.trials.layers(best.operations)]
        given = best.operations, best.method
        candidates = [self.try_out(best.name, *given, best.float_layers)]
        for count in _LEADING:
            if count <= len(names) * _LARGEST_FLOAT_SHARE:
                name = f"{best.name}, {count} first layers in float"
                candidates.append(self.try_out(name, *given, names[:count]))
        return self._corrected(best, candidates) if best.correct_biases else self.choice(candidates)

    def _corrected(self, best: Candidate, candidates: Sequence[Candidate]) -> Candidate:
        """Return the fastest candidate that meets the floors once its biases are corrected, or else
        `best`. Correction takes long and has no part in speed: only the fastest get it."""
        for each in sorted(candidates, key=lambda each: each.times_fp32 or 0, reverse=True):
            if each.float_layers == best.float_layers:  # `best` is this one, corrected
                return best.model_copy(update={"times_fp32": each.times_fp32})
            given = each.operations, each.method, each.float_layers
            found = self.try_out(each.name, *given, timed=False, correct_biases=True)
            if self.floors.met(found):
                return found.model_copy(update={"times_fp32": each.times_fp32})
        return best

    def _best_repair(self, best: Candidate, sensitivity: Sequence[LayerSensitivity]) -> Candidate:
        """Return the candidate with the fewest layers in float that meets the floors: bisection, as
        each layer more in float makes the rest no worse. `best` where none does."""
        order = [each.layer for each in sensitivity]
        low, high = 0, int(len(order) * _LARGEST_FLOAT_SHARE)
        found: Candidate | None = None
        count = high  # if all that may stay in float is not enough, nothing is
        while low < high:
            name = f"{best.name}, the {count} costliest layers in float"
            given = best.operations, best.method, order[:count]
            candidate = self.try_out(name, *given, correct_biases=best.correct_biases)
            if self.floors.met(candidate):
                found, high = candidate, count
            elif found is None:
                return best
            else:
                low = count + 1
            count = (low + high) // 2
        return found if found is not None else best

    def _say_ranked(self, done: int, planned: int) -> None:
        if done % 10 == 0 or done == planned:
            self._say(f"sensitivity of {done} of {planned} layers")
