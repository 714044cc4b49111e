"""A student of an ImageNet network on crops of photos, and how far it agrees with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit_data import photo_crops, teacher_outputs
from lolvit_data.table import open_dataset
from lolvit_data.teacher_outputs import TaughtImages, part_path
from lolvit_export.verification.panel.networks import lite_weights
from lolvit_training.ablation.__main__ import main
from lolvit_training.ablation.changes import DESCRIPTIONS
from lolvit_training.distributed import ProcessGroup
from lolvit_training.evaluate import EvaluationSet
from lolvit_training.loop import train
from lolvit_training.metrics import DatasetMetrics
from lolvit_training.recipe import read_recipe
from lolvit_training.results import write_results
from lolvit_training.setup import Job
from lolvit_training.teacher import with_teacher_outputs
from tests.training.test_train import Silent

ALONE = ProcessGroup(0, 1, torch.device("cpu"), False)
TRAIN, TEST, PART = 16, 6, 8
RECIPE = """
epochs = 1
size = 32
crop_pct = 1.0
batch_size = 8
[optimizer]
name = "adamw"
lr = 1e-3
[schedule]
warmup_epochs = 0
[augmentation]
"""


@pytest.fixture(scope="module", autouse=True)
def few() -> None:
    """A small number of crops, in files of eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_crops, "COUNTS", {"train": TRAIN, "test": TEST})
        patch.setattr(teacher_outputs, "PART", PART)
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-Lite0 with its ImageNet weights."""
    return lite_weights(0, tmp_path_factory.mktemp("weights"))


def configured(out: Path, weights: Path, **changes: object) -> Job:
    fields: dict[str, object] = {
        "epochs": 2, "size": 32, "batch_size": 8, "schedule.warmup_epochs": 0,
        "distillation.teacher": "timm/tf_efficientnet_lite0", "distillation.weights": str(weights),
    }  # fmt: skip
    return Job("lolvit_xx", "photo-crops", read_recipe("agreement", fields | changes), out)


@pytest.fixture(scope="module")
def taught(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run's job, with its teacher's outputs."""
    job = configured(tmp_path_factory.mktemp("run"), weights)
    return with_teacher_outputs(job, ALONE, lambda line: None)


def opened(job: Job) -> TaughtImages:
    found = open_dataset(job.data, "test")
    assert isinstance(found, TaughtImages)
    return found


def test_the_teacher_knows_what_is_on_a_photo(taught: Job) -> None:
    """ImageNet's classes: 872 is a tripod, beside the photographer; 281 to 285 are cats; 967 is an
    espresso."""
    dataset = open_dataset(taught.data, "train")
    assert isinstance(dataset, TaughtImages) and dataset.outputs.shape == (TRAIN, 1000)
    seen = {photo.name: dataset.labels[i] for i, photo in enumerate(dataset.crops.photos)}
    assert (seen["camera"], seen["coffee"]) == (872, 967) and 281 <= seen["cat"] <= 285


def test_a_student_learns_the_outputs_and_its_run_says_how_far_it_agrees(taught: Job) -> None:
    outcome = train(taught, ALONE, Silent())
    write_results(taught, outcome, 1)
    score = outcome.score
    assert score.teacher is not None and score.images == TEST
    assert outcome.history[-1].metrics["test_loss"] == pytest.approx(score.teacher.kl)
    first, last = outcome.history
    assert last.loss < first.loss


def test_a_recipe_that_mixes_images_or_has_another_teacher_is_refused(
    taught: Job, weights: Path, tmp_path: Path
) -> None:
    mixing = taught.recipe.augmentation.model_copy(update={"mixup": 0.2})
    mixed = replace(taught, recipe=taught.recipe.model_copy(update={"augmentation": mixing}))
    with pytest.raises(UserError, match="mixup and cutmix are not for images with a teacher's"):
        train(replace(mixed, out=tmp_path), ALONE, Silent())
    with pytest.raises(UserError, match="has a teacher's outputs already; leave out --teacher"):
        second = configured(tmp_path, weights).recipe
        train(replace(taught, recipe=second, out=tmp_path), ALONE, Silent())


def test_only_missing_outputs_are_computed_and_they_are_the_same(
    taught: Job, weights: Path
) -> None:
    folder = Path(taught.data)
    kept, lost = part_path(folder, "train", 0), part_path(folder, "train", 1)
    before, written = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    lines: list[str] = []
    again = with_teacher_outputs(configured(taught.out, weights), ALONE, lines.append)
    assert again == taught and len(lines) == 1
    assert lost.read_bytes() == before and kept.stat().st_mtime_ns == written


def test_outputs_of_other_crops_are_not_taken_for_these(taught: Job, weights: Path) -> None:
    other = replace(configured(taught.out, weights), limit=12)
    with pytest.raises(UserError, match="of another teacher or on other photos: train differ"):
        with_teacher_outputs(other, ALONE, lambda line: None)


def test_photos_need_a_teacher(tmp_path: Path) -> None:
    job = Job("lolvit_xx", "photo-crops", read_recipe("agreement", {}), tmp_path)
    with pytest.raises(UserError, match=r"no classes of its own: .*; give --teacher"):
        with_teacher_outputs(job, ALONE, lambda line: None)


def test_scores_are_those_of_scipy_with_any_number_of_processes(taught: Job) -> None:
    dataset = opened(taught)
    draw = np.random.default_rng(0)
    logits = dataset.outputs_of(range(TEST)) + draw.normal(0, 2, (TEST, 1000)).astype(np.float32)
    score = EvaluationSet.of(dataset, None).score(logits)
    own, teachers = (
        np.exp(each.astype(np.float64)) / np.exp(each.astype(np.float64)).sum(1, keepdims=True)
        for each in (logits, dataset.outputs_of(range(TEST)))
    )
    shared = [
        len(set(np.argsort(a)[-5:]) & set(np.argsort(b)[-5:]))
        for a, b in zip(own, teachers, strict=True)
    ]
    assert score.teacher is not None
    assert score.teacher.kl == pytest.approx(entropy(teachers, own, axis=1).mean(), rel=1e-6)
    assert score.teacher.top5_overlap == pytest.approx(np.mean(shared) / 5)
    assert score.top1 == (own.argmax(1) == teachers.argmax(1)).mean()
    parts = [DatasetMetrics(dataset) for _ in range(2)]
    for rank, part in enumerate(parts):
        part.update(logits[rank::2], range(TEST)[rank::2])
    sums: list[np.ndarray] = []
    parts[0].reduce(lambda own: sums.append(own) or own)
    parts[1].reduce(lambda own: own + sums[0])
    together = parts[1].compute()
    assert together.teacher is not None
    assert together.teacher.kl == pytest.approx(score.teacher.kl)
    assert together.top1 == score.top1
    assert parts[1].correctness().right().tolist() == (own.argmax(1) == teachers.argmax(1)).tolist()


def test_the_teacher_agrees_with_itself(taught: Job) -> None:
    dataset = opened(taught)
    score = EvaluationSet.of(dataset, None).score(dataset.outputs_of(range(TEST)))
    assert score.teacher is not None
    assert (score.top1, score.teacher.top5_overlap) == (1, 1)
    assert score.teacher.kl == pytest.approx(0, abs=1e-9)


def test_a_change_of_the_model_is_trained_beside_the_model(
    taught: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    arguments = ["--data", taught.data, "--out", str(tmp_path), "--recipe", str(recipe)]
    main([*arguments, "--seeds", "1", "--changes", "sum_fusion"])
    base, changed = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()[2:]
    )
    assert (base[0], changed[0]) == ("lolvit_x", "lolvit_x_sum_fusion")
    assert changed[2] < base[2] and changed[5] != base[5]
    assert (tmp_path / "lolvit_x_sum_fusion-0" / "last.pt").exists()  # to go on from


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_each_change_alters_the_outputs_and_keeps_their_shape(name: str) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs = []
    for each in ("lolvit_x", f"timm/{name}"):
        torch.manual_seed(0)
        model = create_model(each, 10).eval()
        for norm in model.modules():  # the residual branches begin at zero
            if isinstance(norm, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(norm.weight)
        with torch.no_grad():
            outputs.append(model(image))
    assert outputs[0].shape == outputs[1].shape
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-4)
