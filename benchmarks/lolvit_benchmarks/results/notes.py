"""What a reader has to know beside the figures of models that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lolvit_benchmarks.results.document import Estimate, ModelResult, Result

MATCHED_PARAMETERS = 0.03  # two models within this share of each other are of one size


def model_notes(candidate: ModelResult, baselines: Sequence[ModelResult]) -> tuple[str, ...]:
    """Return in what a model and those that it is compared with are unequal, and whose weights are
    untrained: a sentence for each, however many models there are."""
    found = []
    untrained = dict.fromkeys(one.model for one in (candidate, *baselines) if not one.trained)
    if untrained:
        found.append(
            f"Weights are untrained ({', '.join(untrained)}; BatchNorm calibrated on photos): "
            "the times are those of the architecture, and accuracy is not measured."
        )
    resized = [one for one in baselines if one.size != candidate.size]
    if resized:
        sizes = [f"{one.model} {one.size[0]}x{one.size[1]}" for one in (candidate, *resized)]
        found.append(f"The models see images of different sizes: {_listed(sizes)}.")
    unmatched = [
        one for one in baselines if abs(candidate.params / one.params - 1) > MATCHED_PARAMETERS
    ]
    if unmatched:
        counts = [f"{one.model} {one.params / 1e6:.2f} M" for one in unmatched]
        found.append(
            f"The models differ in parameters: {candidate.model} has "
            f"{candidate.params / 1e6:.2f} M, {_listed(counts)}."
        )
    return tuple(found)


def all_notes(results: Iterable[Result | Estimate]) -> list[str]:
    """Return the notes of all results, each once; those on the models of a comparison with several
    baselines are put together."""
    found: dict[str, None] = {}
    compared: dict[tuple[str, tuple[int, ...]], tuple[ModelResult, dict[str, ModelResult]]] = {}
    for result in results:
        own: tuple[str, ...] = ()
        if isinstance(result, Result):
            own = model_notes(result.candidate, (result.baseline,))
            if own and set(own) <= set(result.notes):
                key = result.candidate.model, result.candidate.size
                _, baselines = compared.setdefault(key, (result.candidate, {}))
                baselines.setdefault(result.baseline.model, result.baseline)
            else:  # an older wording: as it is
                own = ()
        found |= dict.fromkeys(note for note in result.notes if note not in own)
    joined = [
        note
        for candidate, baselines in compared.values()
        for note in model_notes(candidate, tuple(baselines.values()))
    ]
    return list(dict.fromkeys((*joined, *found)))


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(parts) if len(parts) <= 2 else f"{', '.join(parts[:-1])} and {parts[-1]}"
