"""Accuracy over latency: joined by model and size, and the models that no other one beats."""

from __future__ import annotations

import itertools
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from lolvit.accuracy import (
    AccuracyDifference,
    AccuracyDocument,
    ComparisonDocument,
    EvaluationResult,
    Score,
    TrainedAccuracy,
)
from lolvit.cli import main
from lolvit_benchmarks.reporting import plots
from lolvit_benchmarks.reporting.frontier import frontiers
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.label_places import Box, label_places
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


def evaluated(eager: float, data: str = "digits", **int8: float) -> AccuracyDocument:
    """Return the metrics of eager PyTorch and of the measured int8 artifact in some runtimes, of
    which 2 % of the top classes are others than eager's."""

    def entry(runtime: str, top1: float, sha256: str, agreement: float) -> EvaluationResult:
        return EvaluationResult(
            model="lolvit_x", target="a", sha256=sha256, runtime=runtime, precision="int8",
            metrics=Score(images=10_000, top1=top1, top5=None, loss=0.1, per_class=()),
            agreement=agreement,
        )  # fmt: skip

    return AccuracyDocument(
        data=data, split="test", classes=("0", "1"), trained=True,
        results=(
            entry("eager", eager, "e" * 64, 1.0),
            *(entry(runtime, top1, "1" * 64, 0.98) for runtime, top1 in int8.items()),
        ),
    )  # fmt: skip


def test_a_quantized_artifact_has_the_mean_of_the_seeds_and_its_own_change() -> None:
    accuracies = compared(lolvit_x=0.9, mobilevit_xs=0.8)
    changed = evaluated(0.91, ort=0.905, litert=0.5)
    (found,), notes = frontiers(measured(precision="int8"), [accuracies], [changed])
    assert found.where == "digits, 64x64, int8, 1 thread" and not notes
    top1 = found.points[0].top1
    assert top1.value == pytest.approx(0.895)
    # 1.96 standard errors of the change: the root of 2 % of 10,000 images over 10,000.
    half = np.hypot(0.02, 1.959963985 * np.sqrt(0.02 / 10_000))
    assert (top1.low, top1.high) == pytest.approx((0.895 - half, 0.895 + half))


@pytest.mark.parametrize("data", ["crops", "digits"])
def test_a_quantized_artifact_needs_eager_pytorch_on_the_same_data(data: str) -> None:
    accuracies = compared(lolvit_x=0.9, mobilevit_xs=0.8)
    document = evaluated(0.91, data, ort=0.905)
    if data == "digits":
        document = document.model_copy(update={"results": document.results[1:]})
    found, notes = frontiers(measured(precision="int8"), [accuracies], [document])
    assert not found and "lolvit evaluate --json of its folder" in notes[0]


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


BASELINES = {"ghostnet_050": 0.45, "mobilenetv4_conv_small": 0.46, "edgenext_xx_small": 0.5,
             "efficientvit_m1": 0.51, "mobilevit_xs": 0.57}  # fmt: skip
TOP1 = (0.866, 0.855, 0.851, 0.861, 0.862, 0.866)  # of lolvit_x, and of these


def of_six_models(width: float) -> str:
    """Return the plot of six models in two runtimes, with latencies within 30 %."""
    results = [
        documents.result(0.44 * factor, ms * factor, against=name, size=SIZE, runtime=runtime)
        for runtime, factor in (("ort", 1.0), ("litert", 0.97))
        for name, ms in BASELINES.items()
    ]
    models = dict(zip(("lolvit_x", *BASELINES), TOP1, strict=True))
    (found,), _ = frontiers(results, [compared(**models)])
    return plots.frontier(found, width)


NUMBER = re.compile(
    r'<text style="[^"]*font-weight: 700[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>(\d)<'
)
MARKER = re.compile(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: var\(--model-(\d)\)')


@pytest.mark.parametrize("width", [plots.WIDE, plots.NARROW])
def test_numbers_of_models_of_similar_latency_cover_neither_each_other_nor_points(
    width: float,
) -> None:
    drawn = of_six_models(width)
    # A number's y is that of its lower edge; digits are 6.4 x 7 points.
    numbers = [Box.around((float(x), float(y) - 3.5), 6.4, 7.0) for x, y, _ in
               NUMBER.findall(drawn)]  # fmt: skip
    points = [Box.around((float(x), float(y)), 6.0, 6.0) for x, y, _ in MARKER.findall(drawn)]
    assert len(numbers) == len(points) == 12
    covered = [pair for pair in itertools.combinations(numbers, 2) if pair[0].shared(pair[1])]
    assert not covered
    assert not [pair for pair in itertools.product(numbers, points) if pair[0].shared(pair[1])]


def test_each_model_has_a_colour_of_its_own_in_all_runtimes() -> None:
    drawn = of_six_models(plots.WIDE)
    colors = [color for _, _, color in MARKER.findall(drawn)]
    assert sorted(colors) == sorted([*"123456"] * 2)
    assert [f"{n}\N{NO-BREAK SPACE}" in drawn for n in range(1, 8)] == [True] * 6 + [False]


def test_labels_of_points_in_one_place_are_beside_each_other() -> None:
    size = (7.0, 10.0)
    marker, frame = Box.around((50, 50), 7, 7), Box(0, 0, 100, 100)
    found = label_places([(50, 50)] * 12, [size] * 12, [marker], [], frame)
    boxes = [Box.around(place, *size) for place in found]
    assert not any(a.shared(b) for a, b in itertools.combinations([marker, *boxes], 2))
    assert all(box.shared(frame) == pytest.approx(70) for box in boxes)
    (beside_a_line,) = label_places([(50, 50)], [size], [marker], [Box(50, 49, 100, 51)], frame)
    assert not Box.around(beside_a_line, *size).shared(Box(50, 49, 100, 51))


# How colours look to people without one kind of cones, on linear RGB: Machado, Oliveira and
# Fernandes, IEEE Transactions on Visualization and Computer Graphics 15 (2009), severity 1.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Return the places of colours (N, 3) in Oklab (Ottosson, 2020)."""
    cones = rgb @ np.array([[0.4122214708, 0.2119034982, 0.0883024619],
                            [0.5363325363, 0.6806995451, 0.2817188376],
                            [0.0514459929, 0.1073969566, 0.6299787005]])  # fmt: skip
    found: np.ndarray = np.cbrt(cones) @ np.array(
        [[0.2104542553, 1.9779984951, 0.0259040371], [0.7936177850, -2.4285922050, 0.7827717662],
         [-0.0040720468, 0.4505937099, -0.8086757660]])  # fmt: skip
    return found


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("vision", list(VISIONS))
def test_colours_of_models_differ_for_people_with_any_colour_vision(
    dark: bool, vision: str
) -> None:
    package = resources.files("lolvit_benchmarks.reporting")
    style = (package / "templates/report.html.j2").read_text().split("</style>")[0]
    light, of_dark = (dict(re.findall(r"--([\w-]+): (#\w+|var\(--\w\))", part)) for part in
                      style.split("@media (prefers-color-scheme: dark)"))  # fmt: skip
    values = light | (of_dark if dark else {})
    models = [values[f"model-{number}"] for number in range(1, len(plots.MODEL_COLORS) + 1)]
    colors = [values[each[6]] if each.startswith("var") else each for each in models]
    page = values["page"] if len(values["page"]) == 7 else "#ffffff"
    rgb = np.array([linear(each) for each in colors])
    brightness = np.array([0.2126, 0.7152, 0.0722])
    lights = np.stack([rgb @ brightness, np.full(len(rgb), linear(page) @ brightness)])
    assert ((lights.max(0) + 0.05) / (lights.min(0) + 0.05)).min() >= 3  # WCAG, 1.4.11
    seen = oklab(np.clip(rgb @ np.array(VISIONS[vision]).T, 0, 1))
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert len(colors) == 8 and min(apart) > 0.1  # five times what is just noticed
