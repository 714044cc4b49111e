"""Result documents as one HTML file that opens offline: plots inside, no script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup

from lolvit.accuracy import AccuracyDocument, ComparisonDocument
from lolvit.manifest import Manifest
from lolvit.text import visible
from lolvit.verification import VerificationDocument
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import frontier, grids, matrix, plots
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.table import overviews
from lolvit_benchmarks.results.document import Conditions, Document, Estimate, ModelResult, Result
from lolvit_benchmarks.results.notes import all_notes

_UNKNOWN = "can't be read here"
_NAMED_IN_TITLE = 3
_MOST_CARDS = 6


def as_html(
    documents: Sequence[Document],
    manifests: Sequence[Manifest] = (),
    evaluated: Sequence[AccuracyDocument] = (),
    verified: Sequence[VerificationDocument] = (),
    compared: Sequence[ComparisonDocument] = (),
) -> str:
    """Return the page; `manifests` add the gates of their artifacts, `evaluated` a plot of the
    artifacts' accuracy over latency, `compared` one of models that were trained with the same
    recipe, and `verified` the devices where nothing is timed."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lolvit_benchmarks.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        _context(documents, manifests)
        | _accuracy(documents, evaluated)
        | _frontiers(documents, compared, evaluated)
        | {"matrix": matrix.grid(documents, verified)}
    )
    return visible(page)


def _context(documents: Sequence[Document], manifests: Sequence[Manifest]) -> dict[str, Any]:
    results = [result for document in documents for result in document.results]
    estimates = [estimate for document in documents for estimate in document.estimates]
    return {
        "title": _title([*results, *estimates]),
        "versions": ", ".join(_each(d.environment.lolvit_version for d in documents)),
        "dates": ", ".join(_each(d.environment.date[:10] for d in documents)),
        "rule": " ".join(_each(document.quality_rule for document in documents)),
        "results": results,
        "cards": _cards(results),
        "notes": all_notes((*results, *estimates)),
        "invalid": [result for result in results if not words.valid(result)],
        "failures": [failure for document in documents for failure in document.failures],
        "interrupted": any(document.state == "interrupted" for document in documents),
        "ratio_plot": _both(partial(plots.ratios, results)) if results else None,
        "peer_plots": _peer_plots(results),
        "size_plots": [
            {"where": words.where(*key), "figure": _both(partial(plots.over_sizes, group))}
            for key, group in grids.growths(results).items()
        ],
        "grids": overviews(results),
        "profiles": grids.operations(results),
        "stage_plots": _stage_plots(results),
        "details": [_detail(result) for result in results],
        "gates": _gates(manifests),
        "conditions": [_conditions(document) for document in documents],
        "quiet": _quiet(results),
        "ms": words.milliseconds,
        **{name: getattr(words, name) for name in _FUNCTIONS},
    }


def _accuracy(
    documents: Sequence[Document], evaluated: Sequence[AccuracyDocument]
) -> dict[str, Any]:
    results = [result for document in documents for result in document.results]
    points = grids.accuracy_points(results, evaluated)
    if not points:
        return {"accuracy_plot": None, "accuracy_grid": None}
    return {
        "accuracy_plot": _both(partial(plots.accuracy_over_latency, points)),
        "accuracy_grid": grids.accuracy(points),
    }


def _frontiers(
    documents: Sequence[Document],
    compared: Sequence[ComparisonDocument],
    evaluated: Sequence[AccuracyDocument],
) -> dict[str, Any]:
    results = [result for document in documents for result in document.results]
    found, notes = frontier.frontiers(results, compared, evaluated)
    differences = [each.line() for document in compared for each in document.differences]
    return {
        "frontier_plots": [
            {"where": each.where, "figure": _both(partial(plots.frontier, each)), "grid": grid}
            for each, grid in zip(found, frontier.tables(found), strict=True)
        ],
        "frontier_notes": notes,
        "differences": differences,
    }


def _cards(results: Sequence[Result]) -> list[Result]:
    """Return the results that are shown in large figures: all if few, else those against the
    first baseline; the others are in tables."""
    if len(results) <= _MOST_CARDS:
        return list(results)
    return [result for result in results if result.baseline.model == results[0].baseline.model][
        :_MOST_CARDS
    ]


_FUNCTIONS = (
    "factor",
    "interval",
    "threads",
    "size",
    "runtime_name",
    "headline",
    "quality",
    "relation",
    "place",
    "failed",
)


def _each(values: Iterable[str]) -> list[str]:
    """Return the values without repeats, in order."""
    return list(dict.fromkeys(values))


def _title(results: Sequence[Result | Estimate]) -> str:
    if not results:
        return "No results"
    candidates = " and ".join(_each(result.candidate.model for result in results))
    others = _each(result.baseline.model for result in results)
    against = ", ".join(others) if len(others) <= _NAMED_IN_TITLE else f"{len(others)} models"
    return f"How fast is {candidates} against {against}?"


def _both(draw: Callable[[float], str]) -> dict[str, Markup]:
    """Return a plot at both widths; what plots draw is escaped there."""
    return {"wide": Markup(draw(plots.WIDE)), "narrow": Markup(draw(plots.NARROW))}


def _peer_plots(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one plot for each configuration with more than one baseline."""
    configurations: dict[str, list[Result]] = {}
    for result in results:
        configurations.setdefault(words.configuration(result), []).append(result)
    return [
        {"where": where, "figure": _both(partial(plots.against_parameters, group))}
        for where, group in configurations.items()
        if len(group) > 1
    ]


def _stage_plots(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one plot for each result whose models were profiled."""
    return [
        {"where": words.place(result), "figure": _both(partial(plots.stages, result))}
        for result in results
        if result.roofline is not None
    ]


def _detail(result: Result) -> dict[str, Any]:
    return {
        "result": result,
        "distribution": _both(partial(plots.distribution, result)),
        "sustained": _both(partial(plots.without_pause, result))
        if result.candidate.sustained
        else None,
        "order": _both(partial(plots.run_order, result)),
        "rows": [
            (
                name,
                show(result.candidate, result.placement.candidate),
                show(result.baseline, result.placement.baseline),
            )
            for name, show in _ROWS
        ],
    }


def _ms(value: float | None) -> str:
    return f"{words.milliseconds(value)} ms" if value is not None else "not reported"


_NO_P99 = f"needs {stats.SAMPLES_FOR_P99} runs"

_ROWS: tuple[tuple[str, Callable[[ModelResult, dict[str, int]], str]], ...] = (
    ("median", lambda one, _: _ms(one.median_ms)),
    ("p90", lambda one, _: _ms(one.p90_ms)),
    ("p99", lambda one, _: _ms(one.p99_ms) if one.p99_ms is not None else _NO_P99),
    ("runs", lambda one, _: f"{len(one.samples)}"),
    ("images a second", lambda one, _: f"{one.throughput_per_s:.1f}"),
    ("coefficient of variation", lambda one, _: f"{one.variation_trimmed:.1%}"),
    ("the same, of all runs", lambda one, _: f"{one.variation:.1%}"),
    ("range between blocks", lambda one, _: f"{one.between_block_range:.1%}"),
    ("precision", lambda one, _: one.precision or "not reported"),
    (
        "its other precisions",
        lambda one, _: (
            ", ".join(f"{name} {_ms(ms)}" for name, ms in (one.slower_precisions_ms or {}).items())
            or "not timed"
        ),
    ),
    ("load", lambda one, _: _ms(one.load_ms)),
    ("first run", lambda one, _: _ms(one.first_ms)),
    ("photo to input", lambda one, _: _ms(one.preprocess_ms)),
    ("memory added", lambda one, _: words.megabytes(one.peak_memory_bytes)),
    ("file", lambda one, _: words.megabytes(one.artifact_bytes)),
    ("input", lambda one, _: f"{one.size[0]}x{one.size[1]}"),
    ("parameters", lambda one, _: f"{one.params:,}"),
    ("multiply-adds", lambda one, _: f"{one.macs / 1e6:,.0f} M"),
    ("weights", lambda one, _: "trained" if one.trained else "untrained"),
    (
        "operations run by",
        lambda _, placed: (
            ", ".join(f"{n}: {count}" for n, count in placed.items()) or "not reported"
        ),
    ),
)


def _gates(manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    return [
        {
            "artifact": f"{manifest.model} {artifact.path}",
            "name": gate.name,
            "value": f"{gate.value:.4g}",
            "threshold": f"{gate.threshold:g}",
            "passed": gate.passed,
        }
        for manifest in manifests
        for artifact in manifest.artifacts
        for gate in artifact.gates
    ]


def _conditions(document: Document) -> list[tuple[str, str]]:
    seen = document.environment
    frequency = f"{seen.frequency_mhz:.0f} MHz" if seen.frequency_mhz is not None else _UNKNOWN
    temperature = f"{seen.temperature_c:.0f} °C" if seen.temperature_c is not None else _UNKNOWN
    battery = f"{seen.battery_percent} %" if seen.battery_percent is not None else "none"
    load = ", ".join(f"{value:.2f}" for value in seen.load_average or ()) or _UNKNOWN
    memory = f"{seen.memory_bytes / 1e9:.1f} GB" if seen.memory_bytes is not None else _UNKNOWN
    return [
        ("machine", words.machine(document)),
        ("cores available", str(seen.cores_available)),
        ("memory", memory),
        ("governor", seen.governor or _UNKNOWN),
        ("frequency", frequency),
        ("temperature", temperature),
        ("battery", battery),
        ("load before, over 1, 5 and 15 minutes", load),
        ("software", ", ".join(f"{name} {version}" for name, version in seen.packages.items())),
        ("Python", seen.python),
        ("lolvit", f"{seen.lolvit_version}, commit {seen.lolvit_commit or 'unknown'}"),
        ("profile", document.profile.name),
        ("photo", document.photo.name),
        ("date", seen.date),
    ]


def _quiet(results: Sequence[Result]) -> list[tuple[str, ...]]:
    if not results:
        return []
    headings = ("benchmark case", "cores", "others used", "hypervisor took", "frequency changed",
                "fixed computation changed", "memory copy changed", "throttled")  # fmt: skip
    rows = {words.configuration(r): (_cores(r), *_meanwhile(r.conditions)) for r in results}
    return [headings, *((case, *columns) for case, columns in rows.items())]


def _cores(result: Result) -> str:
    if result.pinned_cores is None:
        return "not pinned"
    return f"pinned to {', '.join(map(str, result.pinned_cores))}"


def _meanwhile(seen: Conditions) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return f"{value:.1%}" if value is not None else _UNKNOWN

    others = f"{seen.others_cores:.2f} cores" if seen.others_cores is not None else _UNKNOWN
    throttled = f"{seen.throttle_events} times" if seen.throttle_events is not None else _UNKNOWN
    return (
        others, share(seen.stolen_share), share(seen.frequency_change), share(seen.probe_change),
        share(seen.memory_change), throttled,
    )  # fmt: skip
