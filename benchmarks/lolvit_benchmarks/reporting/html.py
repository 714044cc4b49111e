"""Result documents as one HTML file that opens offline: plots inside, no script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup

from lolvit.accuracy import AccuracyDocument
from lolvit.manifest import Manifest
from lolvit.verification import VerificationDocument
from lolvit_benchmarks.analysis import scaling
from lolvit_benchmarks.reporting import accuracies, matrix, plots
from lolvit_benchmarks.reporting import operations as operations_table
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.table import grids
from lolvit_benchmarks.results.device import Estimate
from lolvit_benchmarks.results.document import Conditions, Document, Result, Side

_UNKNOWN = "can't be read here"
_NAMED_IN_TITLE = 3
_MOST_CARDS = 6


def as_html(
    documents: Sequence[Document],
    manifests: Sequence[Manifest] = (),
    counted: Sequence[AccuracyDocument] = (),
    verified: Sequence[VerificationDocument] = (),
) -> str:
    """Return the page; manifests add the gates that their artifacts have passed, accuracies a plot
    of them over latency, and verifications the devices where nothing is timed."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lolvit_benchmarks.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        _context(documents, manifests)
        | _accuracy(documents, counted)
        | {"matrix": matrix.grid(documents, verified)}
    )


def _context(documents: Sequence[Document], manifests: Sequence[Manifest]) -> dict[str, Any]:
    results = [result for document in documents for result in document.results]
    estimates = [estimate for document in documents for estimate in document.estimates]
    return {
        "title": _title([*results, *estimates]),
        "versions": ", ".join(_each(d.environment.lolvit_version for d in documents)),
        "dates": ", ".join(_each(d.environment.date[:10] for d in documents)),
        "rule": " ".join(_each(document.rule for document in documents)),
        "results": results,
        "cards": _cards(results),
        "notes": words.all_notes((*results, *estimates)),
        "unstable": [result for result in results if result.verdict.reasons],
        "failures": [failure for document in documents for failure in document.failures],
        "interrupted": any(document.state == "interrupted" for document in documents),
        "ratio_plot": _both(partial(plots.ratios, results)) if results else None,
        "peer_plots": _peer_plots(results),
        "size_plots": [
            {"where": words.where(*setting), "figure": _both(partial(plots.over_sizes, group))}
            for setting, group in scaling.growths(results).items()
        ],
        "grids": grids(results),
        "profiles": operations_table.grids(results),
        "stage_plots": _stage_plots(results),
        "details": [_detail(result) for result in results],
        "gates": _gates(manifests),
        "conditions": [_conditions(document) for document in documents],
        "quiet": _quiet(results),
        "ms": words.milliseconds,
        **{name: getattr(words, name) for name in _FUNCTIONS},
    }


def _accuracy(documents: Sequence[Document], counted: Sequence[AccuracyDocument]) -> dict[str, Any]:
    found = accuracies.points([r for document in documents for r in document.results], counted)
    if not found:
        return {"accuracy_plot": None, "accuracy_grid": None}
    return {
        "accuracy_plot": _both(partial(plots.accuracy_over_latency, found)),
        "accuracy_grid": accuracies.grid(found),
    }


def _cards(results: Sequence[Result]) -> list[Result]:
    """Return what is told in large figures: all results if few, else those against the model that
    was named first; the others are in tables."""
    if len(results) <= _MOST_CARDS:
        return list(results)
    return [result for result in results if result.b.model == results[0].b.model][:_MOST_CARDS]


_FUNCTIONS = ("times", "interval", "threads", "size", "runtime_name", "headline", "place", "failed")


def _each(values: Iterable[str]) -> list[str]:
    """Return the values without repeats, in order."""
    return list(dict.fromkeys(values))


def _title(results: Sequence[Result | Estimate]) -> str:
    if not results:
        return "No results"
    subjects = " and ".join(_each(result.a.model for result in results))
    others = _each(result.b.model for result in results)
    against = ", ".join(others) if len(others) <= _NAMED_IN_TITLE else f"{len(others)} models"
    return f"How fast is {subjects} against {against}?"


def _both(draw: Callable[[float], str]) -> dict[str, Markup]:
    """Return a plot at both widths; what plots draw is escaped there."""
    return {"wide": Markup(draw(plots.WIDE)), "narrow": Markup(draw(plots.NARROW))}


def _peer_plots(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one plot for each setting in which more than one other model was measured."""
    settings: dict[str, list[Result]] = {}
    for result in results:
        settings.setdefault(words.setting(result), []).append(result)
    return [
        {"where": where, "figure": _both(partial(plots.against_parameters, group))}
        for where, group in settings.items()
        if len(group) > 1
    ]


def _stage_plots(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one plot for each result whose sides were profiled."""
    return [
        {"where": words.place(result), "figure": _both(partial(plots.stages, result))}
        for result in results
        if result.roof is not None
    ]


def _detail(result: Result) -> dict[str, Any]:
    return {
        "result": result,
        "distribution": _both(partial(plots.distribution, result)),
        "sustained": _both(partial(plots.without_pause, result)) if result.a.sustained else None,
        "order": _both(partial(plots.run_order, result)),
        "rows": [
            (name, show(result.a, result.placement.a), show(result.b, result.placement.b))
            for name, show in _ROWS
        ],
    }


def _ms(value: float | None) -> str:
    return f"{words.milliseconds(value)} ms" if value is not None else "not told"


_ROWS: tuple[tuple[str, Callable[[Side, dict[str, int]], str]], ...] = (
    ("median", lambda side, _: _ms(side.median_ms)),
    ("p90", lambda side, _: _ms(side.p90_ms)),
    ("p99", lambda side, _: _ms(side.p99_ms)),
    ("runs", lambda side, _: f"{len(side.samples)}"),
    ("images a second", lambda side, _: f"{side.throughput_per_s:.1f}"),
    ("coefficient of variation", lambda side, _: f"{side.variation_trimmed:.1%}"),
    ("the same, of all runs", lambda side, _: f"{side.variation:.1%}"),
    ("drift between blocks", lambda side, _: f"{side.drift:.1%}"),
    ("precision", lambda side, _: side.precision or "not told"),
    (
        "its other precisions",
        lambda side, _: (
            ", ".join(f"{name} {_ms(ms)}" for name, ms in (side.slower_precisions_ms or {}).items())
            or "not timed"
        ),
    ),
    ("load", lambda side, _: _ms(side.load_ms)),
    ("first run", lambda side, _: _ms(side.first_ms)),
    ("photo to input", lambda side, _: _ms(side.preprocess_ms)),
    ("memory added", lambda side, _: words.megabytes(side.peak_memory_bytes)),
    ("file", lambda side, _: words.megabytes(side.artifact_bytes)),
    ("input", lambda side, _: f"{side.size[0]}x{side.size[1]}"),
    ("parameters", lambda side, _: f"{side.params:,}"),
    ("multiply-adds", lambda side, _: f"{side.macs / 1e6:,.0f} M"),
    ("weights", lambda side, _: "trained" if side.trained else "untrained"),
    (
        "operations run by",
        lambda _, placed: ", ".join(f"{n}: {count}" for n, count in placed.items()) or "not told",
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
    headings = ("measurement", "cores", "others used", "hypervisor took", "frequency changed",
                "fixed arithmetic changed", "throttled")  # fmt: skip
    rows = {words.setting(r): (_cores(r), *_meanwhile(r.conditions)) for r in results}
    return [headings, *((setting, *cells) for setting, cells in rows.items())]


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
        throttled,
    )  # fmt: skip
