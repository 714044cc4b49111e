"""Detectors and segmentation models compared over seeds and images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lolvit.accuracy import DenseComparisonDocument, DetectionScore, read_accuracy
from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import Objects, limited
from lolvit_data.collectors import MapCollector
from lolvit_data.detection_metrics import DetectionMetrics
from lolvit_runtimes.preprocessing import placement_of
from lolvit_training.accuracy import Comparison
from lolvit_training.accuracy_table import as_markdown
from lolvit_training.dense_accuracy import DenseRun, compare_metrics
from lolvit_training.jackknife import JACKKNIFE, Jackknife, JackknifedMetric, read_jackknife
from lolvit_training.paired import MetricOfRuns, accuracy_of, difference_of_means, mean_of
from tests.data.test_coco import coco

Capture = pytest.CaptureFixture[str]
STRETCHED = Preprocessing(size=(32, 32), resize="stretch", crop_pct=1.0, interpolation="bilinear",
                          mean=(0, 0, 0), std=(1, 1, 1), color="RGB")  # fmt: skip
RECIPE = """
task = "detection"
epochs = 1
batch_size = 2
size = 32
crop_pct = 1.0
[optimizer]
name = "adamw"
lr = 1e-3
weight_decay = 0.05
clip_grad = 5.0
[schedule]
warmup_epochs = 0
warmup_lr = 1e-5
min_lr = 1e-5
[augmentation]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set `coco`, a recipe `tiny.toml` and finished runs of two detectors."""
    folder = tmp_path_factory.mktemp("comparison")
    coco(folder / "coco")
    (folder / "tiny.toml").write_text(RECIPE)
    assert main([*compared(folder), "--out", str(folder / "runs")]) == 0
    return folder


def compared(folder: Path) -> list[str]:
    return ["accuracy", "lolvit_xx", "--against", "mobilevit_xxs", "--data", str(folder / "coco"),
            "--recipe", str(folder / "tiny.toml"), "--seeds", "1"]  # fmt: skip


@pytest.mark.slow
def test_detectors_are_trained_and_compared_by_ap50_and_ap(trained: Path, capfd: Capture) -> None:
    out = trained / "runs"
    document = DenseComparisonDocument.model_validate_json((out / "accuracy.json").read_text())
    found = [(row.model, row.metric, row.images, row.size) for row in document.rows]
    assert found == [(model, metric, 2, (32, 32)) for metric in ("ap50", "ap")
                     for model in ("lolvit_xx", "mobilevit_xxs")]  # fmt: skip
    assert [each.over for each in document.differences] == ["images", "images"]
    for model in ("lolvit_xx", "mobilevit_xxs"):
        path = out / f"coco-{model}-0" / "model.safetensors"
        capfd.readouterr()
        assert main(["evaluate", str(path), "--data", str(trained / "coco"), "--json"]) == 0
        (evaluated,) = json.loads(capfd.readouterr().out)["results"]
        for row in (row for row in document.rows if row.model == model):
            assert row.values == (pytest.approx(evaluated["metrics"][row.metric], abs=1e-12),)
    of_run = out / "coco-lolvit_xx-0" / JACKKNIFE  # runs of version 0.1 do not have it
    known = of_run.read_text()
    of_run.unlink()
    assert main([*compared(trained), "--out", str(out), "--json"]) == 0
    assert DenseComparisonDocument.model_validate_json(capfd.readouterr().out) == document
    assert (out / "accuracy.json").read_text() == document.model_dump_json(indent=2) + "\n"
    assert of_run.read_text() == known
    with pytest.raises(UserError, match="is of detection or segmentation: only top-1"):
        read_accuracy(out / "accuracy.json")


@pytest.mark.slow
def test_runs_begin_with_another_comparisons_weights_of_their_model_and_seed(
    trained: Path, tmp_path: Path, capfd: Capture
) -> None:
    first, recipe = trained / "runs", tmp_path / "still.toml"
    recipe.write_text(RECIPE.replace("lr = 1e-3", "lr = 1e-9"))  # which leaves weights as they are
    continued = [*compared(trained), "--recipe", str(recipe), "--weights-from", str(first),
                 "--out", str(tmp_path / "second")]  # fmt: skip
    assert main([*continued, "--seeds", "2"]) == 2
    assert "has no finished run of lolvit_xx with seed 1" in capfd.readouterr().err
    assert not (tmp_path / "second").exists()
    assert main([*continued, "--json"]) == 0
    document = DenseComparisonDocument.model_validate_json(capfd.readouterr().out)
    assert document.options[-2:] == ("--weights-from", str(first))
    for model in ("lolvit_xx", "mobilevit_xxs"):
        before, after = (
            load_file(folder / f"coco-{model}-0" / "model.safetensors")
            for folder in (first, tmp_path / "second")
        )
        weights = [name for name in before if name.endswith("weight")]
        assert weights
        for name in weights:
            np.testing.assert_allclose(after[name], before[name], atol=1e-6, err_msg=name)


def test_one_test_image_has_no_interval(tmp_path: Path, capfd: Capture) -> None:
    def of_one_image(document: dict[str, list[object]]) -> None:
        del document["images"][0]

    data, recipe = coco(tmp_path / "coco", of_one_image), tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    command = ["accuracy", "lolvit_xx", "--against", "mobilevit_xxs", "--data", str(data)]
    assert main([*command, "--recipe", str(recipe), "--out", str(tmp_path / "runs")]) == 2
    assert "coco: has one test image: an interval needs two" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_maps_have_the_metrics_of_all_images_but_those_of_each_group() -> None:
    images = limited(open_annotated("digit-objects", "test", "segmentation"), 22)
    draw = np.random.default_rng(0)
    collectors = [MapCollector(images, (32, 32), {}) for _ in range(21)]
    for index in range(22):
        photo = images.image(index)
        logits = draw.normal(size=(1, len(images.classes), 8, 8)).astype(np.float32)
        place = placement_of((photo.height, photo.width), STRETCHED)
        for number, collector in enumerate(collectors):
            if number != index % 20:  # number 20 has all images
                collector.add(index, {"logits": logits}, place)
    *parts, whole = (collector.metrics for collector in collectors)
    assert whole.without_groups() == tuple(part.compute() for part in parts)
    assert whole.truth_sha256() != parts[0].truth_sha256()


def noisy(draw: np.random.Generator, images: int) -> DetectionMetrics:
    """Return detections around the objects of images, some of other classes, some of nothing, some
    with equal scores; objects of three classes and all sizes, some of them crowds."""
    metrics = DetectionMetrics(("cat", "dog", "bird", "never there"))
    for image in draw.permutation(images).tolist():
        count = int(draw.integers(0, 6))
        corners = draw.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(5, 150, (count, 2))], axis=1)
        labels = draw.integers(0, 3, count)
        objects = Objects.of(boxes, labels, draw.random(count) < 0.1)
        found = np.concatenate([boxes + draw.normal(0, 4, boxes.shape),
                                draw.uniform(0, 50, (3, 4)).cumsum(axis=1)])  # fmt: skip
        right = draw.random(len(found)) < 0.7
        classes = np.where(right, np.append(labels, [0, 1, 2]), draw.integers(0, 4, len(found)))
        scores = draw.choice([0.1, 0.3, 0.35, 0.6, 0.9], len(found))
        metrics.update(image, objects, found, scores, classes)
    return metrics


@pytest.mark.parametrize("images", [90, 7])
def test_detections_that_are_matched_once_have_the_metrics_of_each_part_matched_alone(
    images: int,
) -> None:
    metrics = noisy(np.random.default_rng(images), images)
    found = metrics.matched().without_groups()
    assert len(found) == min(20, images)
    for group, of_part in enumerate(found):
        kept = [image for image in metrics.truth if image % 20 != group]
        alone = DetectionMetrics(
            metrics.classes,
            {image: metrics.truth[image] for image in kept},
            {image: metrics.found[image] for image in kept},
        ).compute()
        assert flat(of_part) == pytest.approx(flat(alone), abs=1e-9, nan_ok=True)
        assert (of_part.images, of_part.objects) == (alone.images, alone.objects)
    assert 0.1 < found[0].ap < 0.9 and len({each.ap for each in found}) > 1


def flat(score: DetectionScore) -> list[float]:
    """Return all figures of a score, NaN for one that is not known."""
    values = [
        score.ap,
        score.ap50,
        score.ap75,
        score.ap_small,
        score.ap_medium,
        score.ap_large,
        score.ar,
        *(value for each in score.per_class for value in (each.ap, each.ap50)),
    ]
    return [np.nan if value is None else value for value in values]  # fmt: skip


def test_the_digest_of_objects_is_of_all_that_is_known_of_them() -> None:
    def digest(**changed: object) -> str:
        metrics = DetectionMetrics(("cat", "dog"))
        known = {"boxes": [[1, 2, 30, 40]], "classes": [1], "crowd": [False], "areas": [9.0]}
        for image in (1, 0):
            metrics.update(image, Objects.of(**known | changed), *np.zeros((3, 0)))  # type: ignore[arg-type]
        return metrics.matched().truth_sha256()

    changes: list[dict[str, object]] = [
        {"boxes": [[1, 2, 30, 41]]}, {"classes": [0]}, {"crowd": [True]}, {"areas": [8.0]}
    ]  # fmt: skip
    assert len({digest(), *(digest(**each) for each in changes)}) == 5
    assert digest() == digest(crowd=None)


def scored(draw: np.random.Generator, chance: float, model: str) -> DenseRun:
    """Return a run whose metric is a mean over 400 images."""
    images = draw.random(400) < chance
    kept = [np.delete(images, slice(group, None, 20)) for group in range(20)]

    metric = JackknifedMetric(
        whole=float(images.mean()), without=tuple(float(part.mean()) for part in kept)
    )
    known = Jackknife(data="streets", images=400, annotations_sha256="0" * 64,
                      metrics={"miou": metric})  # fmt: skip
    return DenseRun("streets", model, (32, 32), known)


def test_the_document_says_in_a_line_whether_metrics_differ(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    models = ("lolvit_x", "mobilevit_xs")
    runs = [scored(draw, chance, model) for model, chance in zip(models, (0.9, 0.7), strict=True)
            for _ in range(3)]  # fmt: skip
    comparison = Comparison(models, ("streets",), (0, 1, 2), (), tmp_path)
    document = compare_metrics(comparison, "segmentation", runs)
    assert [row.metric for row in document.rows] == ["miou", "miou"]  # there is no background
    (difference,) = document.differences
    assert difference.significant and difference.low > 0.1
    assert difference.line().startswith("streets: mIoU of lolvit_x is ")
    assert "points higher than that of mobilevit_xs (95 % interval +" in difference.line()
    table = as_markdown(document).splitlines()
    assert table[0].startswith("| data | model | metric | mean | 95 % interval |")
    assert table[2].startswith("| streets | lolvit_x | mIoU | ")
    others = [replace(run, model="mobilevit_xs") for run in runs[:3]]
    alike = compare_metrics(comparison, "segmentation", [*runs[:3], *others])
    assert "do not differ significantly in mIoU" in alike.differences[0].line()


def test_runs_on_different_annotations_are_not_compared(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    models = ("lolvit_x", "mobilevit_xs")
    first, second = (scored(draw, 0.8, model) for model in models)
    other = second.jackknife.model_copy(update={"annotations_sha256": "1" * 64})
    comparison = Comparison(models, ("streets",), (0,), (), tmp_path)
    with pytest.raises(UserError, match="evaluated on different test images"):
        compare_metrics(comparison, "segmentation", [first, replace(second, jackknife=other)])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (None, "No such file"),
        ({"images": 400}, "groups of"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_a_missing_or_damaged_file_of_a_run_is_one_line(
    tmp_path: Path, changes: dict[str, object] | None, named: str
) -> None:
    if changes is not None:
        whole = {"schema_version": 1, "data": "streets", "images": 4,
                 "annotations_sha256": "0" * 64,
                 "metrics": {"miou": {"whole": 0.5, "without": [0.5] * 4}}}  # fmt: skip
        (tmp_path / JACKKNIFE).write_text(json.dumps(whole | changes))
    with pytest.raises(UserError, match=named) as raised:
        read_jackknife(tmp_path)
    assert "run the same command again: it evaluates the run" in raised.value.line()


def test_the_jackknife_of_a_mean_is_the_interval_of_its_images() -> None:
    draw = np.random.default_rng(2)
    right = draw.random((1, 2000)) < 0.7
    without = np.array([[np.delete(right[0], slice(g, None, 20)).mean() for g in range(20)]])
    found, known = mean_of(MetricOfRuns(right.mean(axis=1), without)), accuracy_of(right)
    assert found.value == known.value and found.over == "images"
    assert found.high - found.low == pytest.approx(known.high - known.low, rel=0.4)


def test_intervals_of_differences_of_equal_models_have_0_in_them() -> None:
    """The metric is a mean over images in twenty groups; seeds shift a whole run."""
    draw = np.random.default_rng(3)
    hits = seeds_alone = 0
    for _ in range(600):
        images = draw.normal(0, 1, (2, 1, 20, 20)) + draw.normal(0, 1, (20, 20))
        figures = images + draw.normal(0, 0.05, (2, 3, 1, 1))
        whole, of_groups = figures.mean(axis=(2, 3)), figures.mean(axis=2)
        without = (20 * whole[..., np.newaxis] - of_groups) / 19
        found = difference_of_means(*map(MetricOfRuns, whole, without))
        hits += found.low <= 0 <= found.high
        same = np.repeat(whole[..., np.newaxis], 20, axis=2)
        alone = difference_of_means(*map(MetricOfRuns, whole, same))
        seeds_alone += alone.low <= 0 <= alone.high
    assert hits / 600 >= 0.92
    assert seeds_alone / 600 < 0.85  # so that the images are needed


def test_models_that_find_nothing_do_not_differ() -> None:
    nothing = MetricOfRuns(np.zeros(3), np.zeros((3, 20)))
    found = difference_of_means(nothing, nothing)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="20 and 13 groups"):
        difference_of_means(nothing, MetricOfRuns(np.zeros(3), np.zeros((3, 13))))
