"""Accuracy over latency: joined by model and size, and the models that no other one beats."""

from __future__ import annotations

from pathlib import Path

import pytest

from lolvit.accuracy import AccuracyDifference, ComparisonDocument, TrainedAccuracy
from lolvit.cli import main
from lolvit_benchmarks.reporting.frontier import frontiers
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_benchmarks.results.document import Result
from tests.benchmarks import documents

SIZE = (64, 64)


def compared(size: tuple[int, int] | None = SIZE, **top1: float) -> ComparisonDocument:
    """Return accuracies of models, with intervals of 2 points to either side."""
    rows = tuple(
        TrainedAccuracy(data="digits", model=name, top1=(mean, mean), mean=mean, deviation=0.0,
                        size=size, images=355, low=mean - 0.02, high=mean + 0.02)
        for name, mean in top1.items()
    )  # fmt: skip
    difference = AccuracyDifference(
        data="digits", model="lolvit_x", against="mobilevit_xs", difference=0.01, low=-0.01,
        high=0.03, over="seeds and images", seeds=2, images=355, significant=False,
    )  # fmt: skip
    return ComparisonDocument(options=(), seeds=(0, 1), rows=rows, differences=(difference,))


def measured(**changes: str) -> list[Result]:
    return [
        documents.result(3.0, 24.0, size=SIZE, **changes),
        documents.result(3.0, 12.0, against="mobilenetv4_conv_small", size=SIZE, **changes),
    ]


def test_a_model_that_another_one_beats_is_not_on_the_frontier() -> None:
    accuracies = compared(lolvit_x=0.9, mobilevit_xs=0.95, mobilenetv4_conv_small=0.85)
    (found,), notes = frontiers(measured(), [accuracies])
    assert [point.model for point in found.line("ort")] == ["lolvit_x", "mobilevit_xs"]
    assert len(found.points) == 3 and not notes
    point = found.points[0]
    assert point.ms.low < 3.0 < point.ms.high and point.ms.high / point.ms.low < 1.05
    assert (point.top1.low, point.top1.high) == (0.88, 0.92)


def test_each_runtime_has_a_frontier_of_its_own_in_one_plot() -> None:
    results = [*measured(), *measured(runtime="litert")]
    (found,), _ = frontiers(results, [compared(lolvit_x=0.9, mobilevit_xs=0.95)])
    assert found.runtimes() == ("ort", "litert") and len(found.points) == 4
    assert all(len(found.line(runtime)) == 2 for runtime in found.runtimes())


def test_timms_models_have_their_name_with_and_without_its_prefix() -> None:
    accuracies = compared(**{"lolvit_x": 0.9, "timm/mobilenetv4_conv_small": 0.95})
    (found,), _ = frontiers(measured(), [accuracies])
    assert [point.model for point in found.points] == ["lolvit_x", "mobilenetv4_conv_small"]


def test_figures_of_different_sizes_are_not_in_one_plot() -> None:
    accuracies = compared((256, 256), lolvit_x=0.9, mobilevit_xs=0.95)
    found, notes = frontiers(measured(), [accuracies])
    assert not found and len(notes) == 2
    assert "lolvit_x was measured at 64x64 and trained on digits at 256x256" in notes[0]


def test_a_quantized_artifact_does_not_get_the_accuracy_of_eager_pytorch() -> None:
    found, notes = frontiers(measured(precision="int8"), [compared(lolvit_x=0.9, mobilevit_xs=0.9)])
    assert not found and "lolvit_x in int8 is not in a plot" in notes[0]


@pytest.mark.parametrize("option", ["--out", "--markdown"])
def test_the_report_has_the_models_of_an_accuracy_file(option: str, tmp_path: Path) -> None:
    result, accuracy = tmp_path / "result.json", tmp_path / "accuracy.json"
    result.write_text(documents.document(*measured()).model_dump_json())
    accuracy.write_text(compared(lolvit_x=0.9, mobilevit_xs=0.95).model_dump_json())
    report = tmp_path / "report"
    assert main(["report", str(result), "--accuracy", str(accuracy), option, str(report)]) == 0
    text = report.read_text()
    assert "digits, 64x64, fp32, 1 thread" in text and "88.0% to 92.0%" in text


def test_the_page_has_the_plot_in_its_own_colours_and_whether_models_differ() -> None:
    accuracies = compared(lolvit_x=0.9, mobilevit_xs=0.95)
    page = as_html([documents.document(*measured())], compared=[accuracies])
    assert 'aria-label="accuracy over latency, digits, 64x64, fp32, 1 thread"' in page
    assert "do not differ significantly" in page and "#010205" not in page
    assert "Accuracy and speed of trained models" not in as_html([documents.document(*measured())])
    assert "on the frontier" in as_markdown([documents.document(*measured())], (), [accuracies])
