"""The results of `lolvit accuracy` as tables and lines."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit.accuracy import (
    METRIC_LABELS,
    ComparisonDocument,
    DenseComparisonDocument,
    TrainedAccuracy,
    TrainedMetric,
)
from lolvit.text import markdown

AnyComparison = ComparisonDocument | DenseComparisonDocument
_WORDS = ("data", "model", "metric")  # headings of columns of words


def headings(document: AnyComparison) -> tuple[str, ...]:
    """Return the columns' headings."""
    first = ("data", "model")
    mean = ("metric", "mean") if isinstance(document, DenseComparisonDocument) else ("mean top-1",)
    return (*first, *mean, "95 % interval", "std over seeds", "each seed")


def is_of_words(heading: str) -> bool:
    """Whether a column has words, not figures."""
    return heading in _WORDS


def cells(document: AnyComparison) -> list[tuple[str, ...]]:
    """Return the rows under the headings."""
    rows: Sequence[TrainedAccuracy | TrainedMetric] = document.rows
    return [_cells(row) for row in rows]


def _cells(row: TrainedAccuracy | TrainedMetric) -> tuple[str, ...]:
    metric: tuple[str, ...] = ()
    if isinstance(row, TrainedMetric):
        metric, values = (METRIC_LABELS[row.metric],), row.values
    else:
        values = row.top1
    interval = "–"
    if row.low is not None and row.high is not None:
        interval = f"{row.low:.2%} to {row.high:.2%}"
    return (
        row.data,
        row.model,
        *metric,
        f"{row.mean:.2%}",
        interval,
        "–" if row.deviation is None else f"{100 * row.deviation:.2f} points",
        ", ".join(f"{100 * value:.1f}" for value in values),
    )


def as_markdown(document: AnyComparison) -> str:
    """Return the figures as a table in Markdown, and the differences as a list."""
    names = headings(document)
    rule = ["---" if is_of_words(name) else "---:" for name in names]
    literal = [tuple(map(markdown, row)) for row in (names, *cells(document))]
    lines = [f"| {' | '.join(row)} |" for row in (literal[0], rule, *literal[1:])]
    found = [f"- {markdown(each.line())}" for each in document.differences]
    return "\n".join([*lines, *([""] if found else []), *found]) + "\n"
