"""Plots of results as SVG text, to stand inside a page.

They are drawn in placeholder colours, which become the page's own CSS variables, so that one plot
reads on light and on dark; and at two widths, since text in a scaled drawing shrinks with it.
"""

from __future__ import annotations

import html
import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.frontier import Frontier, FrontierPoint
from lolvit_benchmarks.reporting.grids import Growth, Point, pixels
from lolvit_benchmarks.reporting.label_places import Box, Place, label_places
from lolvit_benchmarks.results.document import ModelResult, Result, StageTime

WIDE, NARROW = 7.6, 3.5  # inches
_INK, _FAINT, _A, _B, _PAGE = "#010203", "#010204", "#010205", "#010206", "#010207"
# Of models, where there may be more than a candidate and a baseline: eight that people with any
# colour vision tell apart, on light and on dark; the first two are those of the two.
MODEL_COLORS = tuple(f"#0104{number:02x}" for number in range(1, 9))
_VARIABLES = {
    _INK: "--ink", _FAINT: "--line", _A: "--a", _B: "--b", _PAGE: "--page",
    **{color: f"--model-{number}" for number, color in enumerate(MODEL_COLORS, 1)},
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
}
_DASHES: tuple[Any, ...] = ("solid", (0, (4, 3)), (0, (1, 2)))  # of lines in one colour
_NICE = (1, 1.5, 2, 3, 5, 7)
_NICE_OF_FEW = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
_LABEL, _DIGIT, _MARKER = 9.5, 6.7, 7.0  # points: a number's height, a digit's width, a marker's


def ratios(results: Sequence[Result], width: float) -> str:
    """Return each result's speedup as a dot with its 95 % interval, and a line at 1."""
    labels = _ratio_labels(results, width)
    lines = max(label.count("\n") + 1 for label in labels)
    with _figure(width, 0.6 + (0.34 + 0.18 * lines) * len(results)) as (figure, axes):
        axes.axvline(1, color=_INK, linewidth=1, linestyle=(0, (3, 3)))
        for row, (result, label) in enumerate(zip(results, labels, strict=True)):
            speedup = result.speedup
            axes.plot([speedup.low, speedup.high], [row, row], color=_A, linewidth=2.5)
            axes.plot([speedup.ratio], [row], "o", color=_A, markersize=6)
            axes.annotate(words.factor(speedup.ratio), (speedup.high, row), xytext=(7, 0),
                          textcoords="offset points", va="center", weight="bold")  # fmt: skip
            axes.annotate(label, (0, row), xytext=(2, 9), textcoords="offset points",
                          bbox={"facecolor": _PAGE, "edgecolor": "none", "pad": 1})  # fmt: skip
        top = max(1.3, 1.22 * max(result.speedup.high for result in results))
        axes.set(xlim=(0, top), ylim=(len(results) - 0.6, -0.5 - 0.25 * lines))
        axes.set_xlabel("speedup (dashed: equally fast)")
        axes.yaxis.set_visible(False)
        axes.grid(axis="x")
        return _svg(figure, "speedups with 95 % intervals")


def _ratio_labels(results: Sequence[Result], width: float) -> list[str]:
    several = len({result.baseline.model for result in results}) > 1
    labels = [f"{r.baseline.model}, {_where(r)}" if several else _where(r) for r in results]
    return ["\n".join(textwrap.wrap(label, round(11 * width))) for label in labels]


def distribution(result: Result, width: float) -> str:
    """Return every run of both models as a dot over its latency, medians and p90 marked."""
    with _figure(width, 1.9) as (figure, axes):
        jitter = np.random.default_rng(0)
        for row, one, color in ((1, result.candidate, _A), (0, result.baseline, _B)):
            height = row + jitter.uniform(-0.16, 0.16, len(one.samples))
            axes.plot(one.samples, height, ".", color=color, alpha=0.45, markersize=3.5)
            axes.plot([one.median_ms] * 2, [row - 0.24, row + 0.24], color=_INK, linewidth=2)
            axes.plot([one.p90_ms] * 2, [row - 0.24, row + 0.24], color=_INK, linewidth=1,
                      linestyle=(0, (2, 2)))  # fmt: skip
            label = f"{one.model}: median {words.milliseconds(one.median_ms)} ms"
            axes.text(0, row + 0.42, label, va="center", transform=axes.get_yaxis_transform())
        _logarithmic_ms(axes, [*result.candidate.samples, *result.baseline.samples])
        axes.set(ylim=(-0.35, 1.62))
        axes.yaxis.set_visible(False)
        axes.grid(axis="x")
        return _svg(figure, f"distribution of the runs, {words.place(result)}")


def run_order(result: Result, width: float) -> str:
    """Return every run over its place in the measurement, relative to its model's median. Runs
    above the frame are drawn as triangles at its edge."""
    with _figure(width, 2.1) as (figure, axes):
        top = _frame_top(result.models)
        lowest = 0.0
        for one, color in zip(result.models, (_A, _B), strict=True):
            excess = np.asarray(one.samples) / one.median_ms - 1
            lowest = min(lowest, float(excess.min()))
            order, inside = np.asarray(one.sample_order), excess <= top
            axes.plot(order[inside], excess[inside], ".", color=color, markersize=3.5,
                      label=one.model)  # fmt: skip
            axes.plot(order[~inside], np.full((~inside).sum(), top), "^", color=color, markersize=4)
        for start in _block_starts(result.models):
            axes.axvline(start - 0.5, color=_FAINT, linewidth=0.7)
        axes.set(ylim=(1.1 * min(lowest, -top / 4), top * 1.06))
        axes.set_xlabel("run (vertical lines: blocks)")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False,
                    borderaxespad=0, markerscale=2.5, handletextpad=0.1)  # fmt: skip
        return _svg(figure, f"latency over the order of runs, {words.place(result)}")


def against_parameters(results: Sequence[Result], width: float) -> str:
    """Return every model of one configuration by its parameters and its median latency."""
    models = {one.model: one for result in results for one in result.models}
    with _figure(width, 3.0) as (figure, axes):
        for one in models.values():
            color = _A if one.model == results[0].candidate.model else _B
            axes.plot([one.params / 1e6], [one.median_ms], "o", color=color)
            axes.annotate(one.model, (one.params / 1e6, one.median_ms), xytext=(5, 5),
                          textcoords="offset points")  # fmt: skip
        axes.set(xlim=(0, 1.3 * max(one.params / 1e6 for one in models.values())), ylim=(0, None))
        axes.set_xlabel("parameters, millions")
        axes.set_ylabel("median, ms")
        axes.grid()
        return _svg(figure, f"latency against parameters, {_where(results[0])}")


def accuracy_over_latency(points: Sequence[Point], width: float) -> str:
    """Return top-1 over the median latency of every artifact in every runtime, each model in a
    colour of its own: up and to the left is better."""
    markers = dict(zip(dict.fromkeys(p.runtime for p in points), itertools.cycle("os^vD")))
    colors = _model_colors(points)
    names = {model: model for model in colors}
    with _figure(width, 3.4 + _legend_height(names.values(), width)) as (figure, axes):
        for point in points:
            axes.plot([point.ms], [100 * point.top1], markers[point.runtime], markersize=6,
                      color=colors[point.model])  # fmt: skip
        for runtime, marker in markers.items():
            axes.plot([], [], marker, color=_INK, label=words.runtime_name(runtime))
        axes.set_xscale("log")
        times = [point.ms for point in points]
        _plain_ticks(axes.xaxis, _nice_between(min(times), max(times)))
        axes.set_xlabel("median, ms")
        axes.set_ylabel("top-1, %")
        axes.margins(0.12)
        axes.set_ylim(axes.get_ylim()[0], min(axes.get_ylim()[1], 100.5))
        axes.grid()
        _legends(figure, axes, names, colors)
        at = [(point.ms, 100 * point.top1) for point in points]
        _write_beside(figure, axes, at, [p.precision for p in points], fontsize=8)
        return _svg(figure, "accuracy over latency")


def frontier(found: Frontier, width: float) -> str:
    """Return top-1 over latency of models, each in its own colour with its 95 % intervals; of each
    runtime, those that no other model beats are joined. Points have their model's number, whose
    names stand below: they would cover each other."""
    numbers = {model: number for number, model in enumerate(found.models(), 1)}
    colors = _model_colors(found.points)
    names = {model: f"{number}\N{NO-BREAK SPACE}{model}" for model, number in numbers.items()}
    with _figure(width, 3.4 + _legend_height(names.values(), width)) as (figure, axes):
        styles = zip(found.runtimes(), itertools.cycle("os^vD"), itertools.cycle(_DASHES),
                     strict=False)  # fmt: skip
        for runtime, marker, dash in styles:
            line = found.line(runtime)
            axes.plot([p.ms.value for p in line], [100 * p.top1.value for p in line], color=_INK,
                      linewidth=1, linestyle=dash, marker=marker, markersize=0)  # fmt: skip
            axes.plot([], [], color=_INK, linewidth=1, linestyle=dash, marker=marker,
                      label=words.runtime_name(runtime))  # fmt: skip
            for point in found.points:
                if point.runtime == runtime:
                    _with_intervals(axes, point, marker, colors[point.model])
        bounds = [bound for p in found.points for bound in (p.ms.low, p.ms.high)]
        margin = max(1.04, min(1.25, (max(bounds) / min(bounds)) ** 0.15))
        low, high = min(bounds) / margin, max(bounds) * margin
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        _plain_ticks(axes.xaxis, _nice_between(low, high))
        axes.set_xlabel("latency, ms")
        axes.set_ylabel("top-1, %")
        axes.margins(y=0.14)
        axes.grid()
        _legends(figure, axes, names, colors)
        _write_beside(
            figure, axes, [(p.ms.value, 100 * p.top1.value) for p in found.points],
            [str(numbers[p.model]) for p in found.points],
            [((p.ms.low, 100 * p.top1.low), (p.ms.high, 100 * p.top1.high)) for p in found.points],
            weight="bold",
        )  # fmt: skip
        return _svg(figure, f"accuracy over latency, {found.where}")


def _model_colors(points: Sequence[Point] | Sequence[FrontierPoint]) -> dict[str, str]:
    """Return a colour for each model, the candidate first."""
    models = dict.fromkeys(point.model for point in points)
    return dict(zip(models, itertools.cycle(MODEL_COLORS), strict=False))


def _legends(figure: Figure, axes: Axes, names: dict[str, str], colors: dict[str, str]) -> None:
    """Write what the axes' plots are above them, and below them the models' names."""
    narrow = figure.get_figwidth() == NARROW
    figure.legend(handles=axes.get_legend_handles_labels()[0], loc="outside upper right",
                  ncols=2 if narrow else 4, frameon=False)  # fmt: skip
    figure.legend(
        handles=[Patch(color=colors[model], label=name) for model, name in names.items()],
        loc="outside lower center", ncols=_legend_columns(names.values(), figure.get_figwidth()),
        frameon=False, handlelength=0.8, handleheight=0.8, columnspacing=1.2,
    )  # fmt: skip


def _legend_columns(names: Collection[str], width: float) -> int:
    return max(1, int(13 * width / (max(map(len, names)) + 5)))


def _legend_height(names: Collection[str], width: float) -> float:
    return 0.2 * -(-len(names) // _legend_columns(names, width))


def _with_intervals(axes: Axes, point: FrontierPoint, marker: str, color: str) -> None:
    ms, top1 = point.ms, point.top1
    axes.plot([ms.low, ms.high], [100 * top1.value] * 2, color=color, linewidth=1.5)
    axes.plot([ms.value] * 2, [100 * top1.low, 100 * top1.high], color=color, linewidth=1.5)
    axes.plot([ms.value], [100 * top1.value], marker, color=color, markersize=6)


def _write_beside(
    figure: Figure,
    axes: Axes,
    points: Sequence[Place],
    texts: Sequence[str],
    intervals: Sequence[tuple[Place, Place]] = (),
    *,
    fontsize: float = _LABEL,
    **style: Any,
) -> None:
    """Write a text beside each point, in the axes' units, where there is room: off the markers and
    the points' intervals (each from its lowest to its highest place). A line leads to a text that
    is not next to its point. The rest of the plot must be drawn: it decides where points are."""
    figure.draw_without_rendering()
    in_points = 72 / figure.dpi

    def placed(place: Place) -> Place:
        x, y = axes.transData.transform(place) * in_points
        return float(x), float(y)

    centres = [placed(point) for point in points]
    ends = [(placed(low), placed(high)) for low, high in intervals]
    across = zip(centres, ends, strict=False)
    window = axes.get_window_extent()
    frame = [in_points * each for each in (window.x0, window.y0, window.x1, window.y1)]
    width = _DIGIT * fontsize / _LABEL
    places = label_places(
        centres,
        sizes=[(width * len(text), fontsize) for text in texts],
        markers=[Box.around(centre, _MARKER, _MARKER) for centre in centres],
        lines=[
            box
            for (x, y), (low, high) in across
            for box in (Box(low[0], y - 1, high[0], y + 1), Box(x - 1, low[1], x + 1, high[1]))
        ],
        frame=Box(*frame),
    )
    for point, text, centre, place in zip(points, texts, centres, places, strict=True):
        offset = place[0] - centre[0], place[1] - centre[1]
        far = math.hypot(*offset) > 2 * _LABEL + width * (len(text) - 1) / 2
        written = axes.annotate(
            text, point, xytext=offset, textcoords="offset points", ha="center", va="center",
            fontsize=fontsize,
            arrowprops={"arrowstyle": "-", "color": _INK, "linewidth": 0.6, "shrinkA": 5,
                        "shrinkB": 4} if far else None,
            **style,
        )  # fmt: skip
        written.set_in_layout(False)


def over_sizes(group: Sequence[Growth], width: float) -> str:
    """Return the median of each model over the edge length of its input, both axes logarithmic."""
    with _figure(width, 3.0) as (figure, axes):
        styles = zip(itertools.cycle(MODEL_COLORS), itertools.cycle("os^vD"), strict=False)
        for growth, (color, marker) in zip(group, styles, strict=False):
            edges = [math.sqrt(pixels(one)) for one in growth.results]
            medians = [one.median_ms for one in growth.results]
            axes.plot(edges, medians, marker=marker, color=color,
                      label=f"{growth.model}: pixels^{growth.exponent:.2f}")  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = sorted({round(math.sqrt(pixels(one))) for g in group for one in g.results})
        _plain_ticks(axes.xaxis, ticks)
        medians = [one.median_ms for growth in group for one in growth.results]
        _plain_ticks(axes.yaxis, _nice_between(min(medians), max(medians)))
        axes.set_xlabel("edge of the input, pixels (square root of height x width)")
        axes.set_ylabel("median, ms")
        axes.grid()
        axes.legend(frameon=False)
        return _svg(figure, "latency over input size")


def without_pause(result: Result, width: float) -> str:
    """Return the sustained latency of both models over time, relative to each one's burst."""
    with _figure(width, 2.1) as (figure, axes):
        for one, color in zip(result.models, (_A, _B), strict=True):
            if (curve := one.sustained) is not None:
                slower = np.asarray(curve.median_ms) / curve.burst_ms - 1
                axes.plot(curve.at_s, slower, color=color, label=one.model)
        low, high = axes.get_ylim()
        axes.set(ylim=(min(low, -0.05), max(high, 0.1)))
        axes.axhline(0, color=_INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.set_xlabel("seconds without a pause (dashed: the burst)")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="y")
        axes.legend(frameon=False, ncols=2)
        return _svg(figure, f"latency without a pause, {words.place(result)}")


def stages(result: Result, width: float) -> str:
    """Return the profiled time of both models as bars of their stages, which are listed below."""
    models = [
        (one, color)
        for one, color in zip(result.models, (_A, _B), strict=True)
        if one.operation_profile
    ]
    lists = ["\n".join(textwrap.wrap(_stage_list(one), round(13 * width))) for one, _ in models]
    lines = [text.count("\n") + 1 for text in lists]
    with _figure(width, 0.6 + sum(0.72 + 0.17 * count for count in lines)) as (figure, axes):
        top = 0.0
        for (one, color), text, count in zip(models, lists, lines, strict=True):
            _stage_bar(axes, one, top + 0.42, color)
            axes.text(0, top + 0.1, one.model, va="center", weight="bold")
            axes.text(0, top + 0.66, text, va="top")
            top += 0.72 + 0.17 * count
        axes.set(ylim=(top, -0.1), xlim=(0, None))
        axes.set_xlabel("milliseconds in operations, profiled")
        axes.yaxis.set_visible(False)
        return _svg(figure, f"time by stage, {words.place(result)}")


def _stage_bar(axes: Axes, one: ModelResult, height: float, color: str) -> None:
    start = 0.0
    for number, stage in enumerate(_stages(one)):
        axes.barh(height, stage.ms, 0.36, start, color=color, alpha=0.9 - 0.45 * (number % 2))
        start += stage.ms


def _stage_list(one: ModelResult) -> str:
    return ", ".join(f"{time.stage} {words.milliseconds(time.ms)}" for time in _stages(one))


def _stages(one: ModelResult) -> tuple[StageTime, ...]:
    return one.operation_profile.stages if one.operation_profile else ()


def _where(result: Result) -> str:
    name, size = words.runtime_name(result.runtime), words.size(result.candidate)
    return f"{name}, {result.precision}, {words.threads(result.threads)}, {size}"


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        yield figure, axes


def _logarithmic_ms(axes: Axes, samples: Sequence[float]) -> None:
    """Scale x by its logarithm, with plain numbers as ticks."""
    low, high = min(samples) / 1.08, max(samples) * 1.08
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _plain_ticks(axes.xaxis, _nice_between(low, high))
    axes.set_xlabel("milliseconds (bar: median, dashed: p90)")


def _nice_between(low: float, high: float) -> list[float]:
    """Return at most seven round numbers between two bounds, evenly spaced by their logarithm."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in (_NICE, _NICE_OF_FEW):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) > 2:
            break
    return ticks[:: max(1, -(-len(ticks) // 7))]


def _plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _frame_top(models: Sequence[ModelResult]) -> float:
    """Return the excess over the median that all but the slowest 2 % of the runs stay below."""
    return max(
        0.1, *(1.15 * (stats.percentile(one.samples, 0.98) / one.median_ms - 1) for one in models)
    )


def _block_starts(models: Sequence[ModelResult]) -> list[int]:
    first: dict[int, int] = {}
    for one in models:
        for block, order in zip(one.sample_block, one.sample_order, strict=True):
            first[block] = min(order, first.get(block, order))
    return sorted(first.values())[1:]


def _svg(figure: Figure, label: str) -> str:
    """Return a figure as an `svg` element in the page's colours; ids differ between figures."""
    buffer = io.StringIO()
    salt = f"{label} {figure.get_figwidth()}"
    with matplotlib.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        # names of models may have characters that the font lacks; the page's own font draws them
        warnings.filterwarnings("ignore", message="Glyph ")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
