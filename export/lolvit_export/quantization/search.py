"""Find what to quantize, how to find ranges and what to leave in float: the fastest of what is good
enough, by measurement.

    1. kinds of operations   each of the quantizer's recipes; the fastest that meets the thresholds
    2. method of ranges      the others, with that recipe: the most accurate
    3. sensitive layers      only where the thresholds are not met: those that give the outputs in
                             float, or else the fewest from the top of the ranking by sensitivity
    4. first layers          few channels on large maps are slow as integers: as many of them in
                             float as makes the whole faster. Between floats and integers a map is
                             rounded, and in ONNX Runtime its layout changes: that takes least
                             behind a layer that gives less than all before it. Then the other
                             recipes with as many in float
    5. products of matrices  where a convolution can be computed by another kernel: those with the
                             longest sums first, as many as makes the whole faster
    6. bias correction       where the format's quantizer does that and it is worth it; before 3 if
                             the thresholds need it

Where speed can't be measured on this machine, the recipe that quantizes most is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lolvit.errors import DeviceError, UserError
from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.plan import Candidate, LayerSensitivity, Method, Plan
from lolvit_export.quantization.quantizer import Layer
from lolvit_export.quantization.sensitivity import rank_layers

METHODS: tuple[Method, ...] = (
    "percentile",
    "mse",
    "entropy",
)  # minmax is evaluated with every recipe
# Speeds nearer than this are the same; the more accurate counts, if it is that by a decibel.
_SAME_SPEED = 0.01
_SAME_DB = 1.0  # candidates nearer than this to the most accurate are as accurate
_WORTH_DB = 1.0  # with less gained, the simpler plan stays
_SLOWER = 2  # counts in a row that are slower than the best: more layers in float are slower still
# With more in float than this it is another model than the one that was asked for.
_LARGEST_FLOAT_SHARE = 0.5
_WITH_OUTPUTS = ", output layers in float"  # in a candidate's name
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Thresholds:
    """What a candidate has to reach on the tuning images; the change of accuracy only where it is
    measured, and with `all_metrics` the task's other metrics too."""

    snr_db: float
    top1_agreement: float
    accuracy_change: float = -math.inf
    all_metrics: bool = True

    def met(self, candidate: Candidate) -> bool:
        """Whether a candidate reaches them."""
        change = candidate.accuracy_change
        return (
            candidate.snr_db >= self.snr_db
            and candidate.top1_agreement >= self.top1_agreement
            and (change is None or change >= self.accuracy_change)
            and not (candidate.failed and self.all_metrics)
        )


NO_THRESHOLDS = Thresholds(-math.inf, 0.0, all_metrics=False)


def search(candidates: Candidates, thresholds: Thresholds, progress: Progress) -> Plan:
    """Return the plan of the fastest artifact that meets the thresholds, or, where none does, of
    the most accurate; all that was evaluated is in it."""
    return _Search(candidates, thresholds, progress).run()


def search_ranges(candidates: Candidates, progress: Progress) -> Plan:
    """Return the plan that quantizes everything, with the most accurate of the methods of ranges,
    weights rounded by GPTQ or, where that is more accurate, to the nearest, and biases corrected
    where that is more accurate."""
    ((kinds, operations),) = candidates.quantizer.recipes().items()
    evaluated: list[Candidate] = []

    def evaluate(method: Method, *, gptq: bool, bias_correction: bool = False) -> None:
        how = (", GPTQ" if gptq else "") + (", bias correction" if bias_correction else "")
        name = kinds + how
        found = candidates.evaluate(
            name, operations, method, timed=False, gptq=gptq, bias_correction=bias_correction
        )
        evaluated.append(found)
        progress(f"{name}, {method}: {found.snr_db:.1f} dB")

    methods: tuple[Method, ...] = ("minmax", *METHODS)
    for method in methods:
        evaluate(method, gptq=True)
    evaluate(_most_accurate(evaluated).method, gptq=False)
    if candidates.quantizer.corrects_biases:
        best = _most_accurate(evaluated)
        evaluate(best.method, gptq=best.gptq, bias_correction=True)
    plan = _plan_of(candidates, _most_accurate(evaluated))
    return plan.model_copy(update={"candidates": tuple(evaluated)})


def _most_accurate(candidates: Sequence[Candidate]) -> Candidate:
    return max(candidates, key=lambda each: (not each.failed, each.snr_db))


def _as_accurate(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that are as accurate as the most accurate."""
    best = _most_accurate(candidates)
    return [
        each
        for each in candidates
        if each.snr_db >= best.snr_db - _SAME_DB and (best.failed or not each.failed)
    ]


def _speed(candidate: Candidate) -> float:
    return candidate.speedup_vs_fp32 or 0


def _all_slower(last: Sequence[Candidate], candidates: Sequence[Candidate]) -> bool:
    """Whether the last candidates are slower than the fastest, each by more than measures as the
    same speed."""
    fastest = max(map(_speed, candidates))
    slow = [each for each in last if _speed(each) < fastest * (1 - _SAME_SPEED)]
    return len(slow) == _SLOWER


def narrowings(layers: Sequence[Layer]) -> list[int]:
    """Return after how many layers a network is narrower than anywhere before: there, a layer has
    given fewer elements than each one before it. The first layer always has."""
    found: list[int] = []
    narrowest = math.inf
    for count, layer in enumerate(layers, start=1):
        if layer.elements < narrowest:
            found.append(count)
            narrowest = layer.elements
    return found


def _plan_of(candidates: Candidates, best: Candidate) -> Plan:
    return candidates.plan(
        best.operations,
        best.method,
        best.float_layers,
        gemm_layers=best.gemm_layers,
        bias_correction=best.bias_correction,
        gptq=best.gptq,
    )


_WITHOUT_INTEGERS = "leave out the precisions in integers: its file in floats is as small and fast"


class _Search:
    def __init__(self, candidates: Candidates, thresholds: Thresholds, progress: Progress) -> None:
        self._candidates, self._thresholds, self._progress = candidates, thresholds, progress
        self._evaluated: list[Candidate] = []
        self._recipes = candidates.quantizer.recipes()

    def run(self) -> Plan:
        self._evaluate_recipes()
        best = self._best_method(self.choose(self._evaluated))
        sensitivity: tuple[LayerSensitivity, ...] = ()
        if not self._thresholds.met(best):
            best = self._best_bias_correction(best)
        if not self._thresholds.met(best):
            best = self._outputs_in_float(best)
        if not self._thresholds.met(best):
            given = best.operations, best.method
            sensitivity = rank_layers(self._candidates, *given, self._report_ranked)
            best = self._fewest_in_float(best, sensitivity)
        if self._thresholds.met(best):
            best = self._best_gemm_layers(self._best_first_layers(best))
        plan = _plan_of(self._candidates, self._best_bias_correction(best))
        history = {"candidates": tuple(self._evaluated), "sensitivity": sensitivity}
        return plan.model_copy(update=history)

    def _evaluate_recipes(self) -> None:
        """Evaluate all recipes. One that the runtime refuses, as LiteRT does some operations on
        integers, is left out.

        Raises:
            UserError: there is nothing to quantize.
            DeviceError: the runtime refuses all of them.
        """
        if not self._recipes:
            raise UserError(
                "has no operation that is quantized", where="the model", remedy=_WITHOUT_INTEGERS
            )
        refused: DeviceError | None = None
        for name, operations in list(self._recipes.items()):
            try:
                self.evaluate(name, operations)
            except DeviceError as error:
                del self._recipes[name]
                refused = refused or error
                self._progress(f"{name}: left out, {error.what}")
        if refused is not None and not self._recipes:
            raise refused

    def evaluate(
        self,
        name: str,
        operations: Sequence[str],
        method: Method = "minmax",
        float_layers: Sequence[str] = (),
        *,
        gemm_layers: Sequence[str] = (),
        timed: bool = True,
        bias_correction: bool = False,
    ) -> Candidate:
        found = self._candidates.evaluate(
            name,
            operations,
            method,
            float_layers,
            gemm_layers=gemm_layers,
            timed=timed,
            bias_correction=bias_correction,
        )
        self._evaluated.append(found)
        ratio = found.speedup_vs_fp32
        speed = "" if ratio is None else f", speedup {ratio:.2f} over fp32"
        agreed = f", agrees on {found.top1_agreement:.0%}" if found.top1_agreement < 1 else ""
        change = found.accuracy_change
        accuracy = "" if change is None else f", accuracy {change:+.2f} points"
        failed = "".join(f", {each} too low" for each in found.failed)
        self._progress(f"{name}, {method}: {found.snr_db:.1f} dB{agreed}{accuracy}{failed}{speed}")
        return found

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the fastest that meets the thresholds, or else the fastest of those that are as
        accurate as any: other ranges and bias correction may still reach the thresholds."""
        good = [each for each in candidates if self._thresholds.met(each)]
        if not good:
            good = _as_accurate(candidates)
        speeds = [each.speedup_vs_fp32 for each in good if each.speedup_vs_fp32 is not None]
        if not speeds:
            return good[0]
        near = [each for each in good if _speed(each) >= max(speeds) * (1 - _SAME_SPEED)]
        return max(_as_accurate(near), key=_speed)

    def _best_method(self, best: Candidate) -> Candidate:
        """Return the candidate with the most accurate ranges, of those that meet the thresholds if
        any do. The method has no part in speed."""
        candidates = [best]
        for method in METHODS:
            try:
                candidates.append(self.evaluate(best.name, best.operations, method, timed=False))
            except UserError as error:  # the format's own tools have no such method
                self._progress(f"{method}: {error.what}")
        good = [each for each in candidates if self._thresholds.met(each)]
        found = _most_accurate(good or candidates)
        return found.model_copy(update={"speedup_vs_fp32": best.speedup_vs_fp32})

    def _best_bias_correction(self, best: Candidate) -> Candidate:
        """Return the candidate with bias correction if that is worth it, or else `best`."""
        if best.bias_correction or not self._candidates.quantizer.corrects_biases:
            return best
        name = f"{best.name}, bias correction"
        found = self.evaluate(
            name,
            best.operations,
            best.method,
            best.float_layers,
            gemm_layers=best.gemm_layers,
            timed=False,
            bias_correction=True,
        )
        if found.snr_db < best.snr_db + _WORTH_DB or self._thresholds.met(
            best
        ) > self._thresholds.met(found):
            return best
        return found.model_copy(update={"speedup_vs_fp32": best.speedup_vs_fp32})

    def _outputs_in_float(self, best: Candidate) -> Candidate:
        """Return the candidate with the layers that give the outputs in float if it meets the
        thresholds, or else `best`: what an output loses, no layer behind it makes up for."""
        layers = self._candidates.layers(best.operations)
        names = [layer.name for layer in layers if layer.is_output]
        if not 0 < len(names) <= len(layers) * _LARGEST_FLOAT_SHARE:
            return best
        given = best.operations, best.method, names
        name = f"{best.name}{_WITH_OUTPUTS}"
        found = self.evaluate(name, *given, bias_correction=best.bias_correction)
        return found if self._thresholds.met(found) else best

    def _best_first_layers(self, best: Candidate) -> Candidate:
        """Return the candidate with as many of the first layers in float as is fastest; none is
        timed once more, as the machine may have become faster or slower since."""
        if best.speedup_vs_fp32 is None:
            return best
        layers = self._candidates.layers(best.operations)
        given = best.operations, best.method
        kept = best.float_layers
        candidates = {0: self.evaluate(best.name, *given, kept)}

        def evaluate(count: int) -> None:
            if count not in candidates and 0 < count <= len(layers) * _LARGEST_FLOAT_SHARE:
                first = "first layer" if count == 1 else f"{count} first layers"
                name = f"{best.name}, {first} in float"
                names = [e.name for i, e in enumerate(layers) if i < count or e.name in kept]
                if len(names) < len(layers):  # something is left to quantize
                    candidates[count] = self.evaluate(name, *given, names)

        for count in self._counts_at_narrowings(best.operations):
            evaluate(count)
            tried = list(candidates.values())
            if _all_slower(tried[-_SLOWER:], tried):
                break
        fastest = max(candidates, key=lambda count: _speed(candidates[count]))
        for count in (fastest + 1, fastest - 1):
            evaluate(count)
        count, fastest_yet = max(candidates.items(), key=lambda item: _speed(item[1]))
        evaluated = list(candidates.values())
        if count:
            evaluated += self._other_kinds(fastest_yet, layers[count - 1], kept)
        return self._corrected(best, evaluated) if best.bias_correction else self.choose(evaluated)

    def _other_kinds(self, fastest: Candidate, last: Layer, kept: Sequence[str]) -> list[Candidate]:
        """Return the other recipes with the same first layers in float, up to the `last`, and what
        is `kept` in float of others: as integers, the first ones take so long that the recipes
        hardly differ."""
        every = self._candidates.quantizer.layers()
        place = every.index(last) + 1
        found = []
        for name, operations in self._recipes.items():
            layers = [(i, each) for i, each in enumerate(every) if each.operation in operations]
            first = sum(i < place for i, _ in layers)
            if operations != fastest.operations and first:
                outputs = _WITH_OUTPUTS if kept else ""
                name = f"{name}{outputs}, {first} first layers in float"
                names = [each.name for i, each in layers if i < place or each.name in kept]
                if len(names) < len(layers):
                    found.append(self.evaluate(name, operations, fastest.method, names))
        return found

    def _best_gemm_layers(self, best: Candidate) -> Candidate:
        """Return the candidate with as many convolutions by products of matrices as is fastest, if
        that is worth it; none is timed once more, as the machine may have become faster or slower
        since."""
        layers = [
            each
            for each in self._candidates.layers(best.operations)
            if each.gemm_depth and each.name not in best.float_layers
        ]
        if best.speedup_vs_fp32 is None or not layers:
            return best
        given = best.operations, best.method, best.float_layers
        tried = [self.evaluate(best.name, *given)]
        for depth in sorted({each.gemm_depth for each in layers}, reverse=True):
            names = [each.name for each in layers if each.gemm_depth >= depth]
            name = f"{best.name}, {len(names)} by products of matrices"
            tried.append(self.evaluate(name, *given, gemm_layers=names))
            if _all_slower(tried[-_SLOWER:], tried):
                break
        found = max(tried, key=_speed)
        if _speed(found) * (1 - _SAME_SPEED) <= _speed(tried[0]):
            return best
        if best.bias_correction:
            corrected = self.evaluate(
                found.name, *given, gemm_layers=found.gemm_layers, timed=False, bias_correction=True
            )
            found = corrected.model_copy(update={"speedup_vs_fp32": found.speedup_vs_fp32})
        return found if self._thresholds.met(found) else best

    def _counts_at_narrowings(self, operations: Sequence[str]) -> list[int]:
        """Return how many layers of these kinds there are up to each place where the network, with
        what stays in float anyway, becomes narrower."""
        every = self._candidates.quantizer.layers()
        counts = [
            sum(layer.operation in operations for layer in every[:place])
            for place in narrowings(every)
        ]
        return list(dict.fromkeys(counts))

    def _corrected(self, best: Candidate, candidates: Sequence[Candidate]) -> Candidate:
        """Return the fastest candidate that meets the thresholds with bias correction, or else
        `best`. Correction takes long and has no part in speed: only the fastest get it."""
        for each in sorted(candidates, key=_speed, reverse=True):
            if (each.operations, each.float_layers) == (best.operations, best.float_layers):
                # `best` is this one, corrected
                return best.model_copy(update={"speedup_vs_fp32": each.speedup_vs_fp32})
            given = each.operations, each.method, each.float_layers
            found = self.evaluate(each.name, *given, timed=False, bias_correction=True)
            if self._thresholds.met(found):
                return found.model_copy(update={"speedup_vs_fp32": each.speedup_vs_fp32})
        return best

    def _fewest_in_float(
        self, best: Candidate, sensitivity: Sequence[LayerSensitivity]
    ) -> Candidate:
        """Return the candidate with the fewest layers in float that meets the thresholds:
        bisection, as each layer more in float makes the rest no worse. `best` where none does."""
        order = [each.layer for each in sensitivity]
        low, high = 0, int(len(order) * _LARGEST_FLOAT_SHARE)
        found: Candidate | None = None
        count = high  # if all that may stay in float is not enough, nothing is
        while low < high:
            name = f"{best.name}, the {count} most sensitive layers in float"
            given = best.operations, best.method, order[:count]
            candidate = self.evaluate(name, *given, bias_correction=best.bias_correction)
            if self._thresholds.met(candidate):
                found, high = candidate, count
            elif found is None:
                return best
            else:
                low = count + 1
            count = (low + high) // 2
        return found if found is not None else best

    def _report_ranked(self, done: int, planned: int) -> None:
        if done % 10 == 0 or done == planned:
            self._progress(f"sensitivity of {done} of {planned} layers")
