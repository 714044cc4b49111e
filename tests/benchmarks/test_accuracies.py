"""Accuracy beside latency: joined by the file that was timed and counted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import lolvit
from lolvit.accuracy import AccuracyDocument, EvaluationResult, Score, read_accuracy
from lolvit.errors import UserError
from lolvit_benchmarks.reporting.grids import Point, accuracy_points
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.plots import NARROW, WIDE, accuracy_over_latency
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_benchmarks.results.document import Result
from tests.benchmarks import documents


def measured(**changes: str) -> Result:
    """Return a result whose models are different files."""
    result = documents.result(**changes)
    other = result.baseline.model_copy(update={"artifact_sha256": "b" * 64})
    return result.model_copy(update={"baseline": other})


def counted(result: Result, **top1: float) -> AccuracyDocument:
    """Return a document that evaluates the candidate in some runtimes."""
    return AccuracyDocument(
        data="digits",
        split="test",
        classes=("0", "1"),
        trained=True,
        results=tuple(
            EvaluationResult(
                model="lolvit_x",
                target=result.candidate.artifact,
                sha256=result.candidate.artifact_sha256,
                runtime=runtime,
                precision="int8",
                metrics=Score(images=10, top1=share, top5=None, loss=0.1, per_class=()),
            )
            for runtime, share in top1.items()
        ),
    )


def test_the_runtime_that_was_timed_is_taken_before_another() -> None:
    result = measured(runtime="litert")
    (point,) = accuracy_points([result], [counted(result, ort=0.5, litert=0.9)])
    assert (point.top1, point.ms, point.runtime) == (0.9, result.candidate.median_ms, "litert")
    (other,) = accuracy_points([result], [counted(result, ort=0.5)])
    assert other.top1 == 0.5


def test_a_file_that_was_changed_since_is_not_joined() -> None:
    result = measured()
    changed = result.candidate.model_copy(update={"artifact_sha256": "f" * 64})
    assert (
        accuracy_points(
            [result.model_copy(update={"candidate": changed})], [counted(result, ort=0.5)]
        )
        == []
    )


def test_the_page_shows_accuracy_only_where_it_was_counted() -> None:
    result = measured()
    with_it = as_html([documents.document(result)], evaluated=[counted(result, ort=0.975)])
    assert "Accuracy and speed" in with_it and "97.50%" in with_it
    table = as_markdown([documents.document(result)], evaluated=[counted(result, ort=0.975)])
    assert "### Accuracy and latency" in table and "97.50%" in table
    assert "Accuracy and speed" not in as_html([documents.document(result)])


def test_each_model_of_the_plot_has_a_colour_and_its_name() -> None:
    points = [
        Point(model, runtime, "int8", ms, top1=0.9, images=10, data="digits")
        for model, ms in (("lolvit_x", 1.0), ("mobilevit_xs", 7.0), ("ghostnet_050", 2.0))
        for runtime in ("ort", "litert")
    ]
    plot = accuracy_over_latency(points, WIDE)
    for number, point in enumerate(points[::2], 1):
        assert plot.count(f"var(--model-{number})") >= 3  # two points, and the name's
        assert point.model in plot
    assert "var(--model-4)" not in plot


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_precisions_of_runtimes_that_are_equally_fast_do_not_cover_each_other(width: float) -> None:
    points = [
        Point("lolvit_x", runtime, precision, ms, top1=0.9, images=10, data="digits")
        for runtime in ("ort", "litert", "openvino")
        for precision, ms in (("fp32", 2.0), ("fp16", 2.01), ("int8", 1.0))
    ]
    plot = accuracy_over_latency(points, width)
    written = re.findall(r'<text [^>]*x="([\d.-]+)" y="([\d.-]+)"[^>]*>(?:fp32|fp16|int8)<', plot)
    places = np.array(written, float)
    assert len(places) == len(points)
    across, up = np.abs(places[:, np.newaxis] - places).transpose(2, 0, 1)
    apart = (across > 15) | (up > 7) | np.eye(len(places), dtype=bool)
    assert apart.all()


def test_a_document_of_another_kind_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(UserError, match=r"field 'data': .*lolvit evaluate --json"):
        read_accuracy(path)


def test_a_key_of_a_later_version_is_named_with_the_version_that_reads(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    document = counted(measured(), ort=0.5).model_dump(mode="json")
    path.write_text(json.dumps({**document, "energy": 1}))
    with pytest.raises(UserError) as caught:
        read_accuracy(path)
    assert f"this lolvit ({lolvit.__version__}) does not know the key 'energy'" in str(caught.value)
    assert "use the version of lolvit that wrote it, or give what lolvit evaluate" in str(
        caught.value
    )
