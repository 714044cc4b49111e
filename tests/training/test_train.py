"""Training runs, short ones on real images: their files, resuming, and errors."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lolvit.errors import LolvitError, UserError
from lolvit_training.checkpoints import load_last
from lolvit_training.correctness import read_correctness
from lolvit_training.distributed import ProcessGroup
from lolvit_training.loop import Outcome, train
from lolvit_training.recipe import read_recipe
from lolvit_training.results import write_results
from lolvit_training.run_files import LAST
from lolvit_training.setup import Job
from tests.data.images import write_folder

ALONE = ProcessGroup(0, 1, torch.device("cpu"), False)


class Silent:
    """A listener that interrupts the run at a given step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, done: int, planned: int) -> None:
        if done == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order: curves are compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(data: Path, recipe: Path, out: Path, resume: bool = False, **changes: Any) -> Job:
    """Return a run of LOLViT-XX; what is no field of a `Job` changes the recipe (a__b is a.b)."""
    own = {
        name: changes.pop(name)
        for name in ("workers", "checkpoint_steps", "limit")
        if name in changes
    }
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    return Job("lolvit_xx", str(data), read_recipe(str(recipe), fields), out, resume=resume, **own)


def weights(outcome: Outcome) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in outcome.run.final_model().state_dict().items()}


def test_a_run_leaves_a_checkpoint_a_log_and_a_plot(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    configured = job(few_digits, recipe_file, tmp_path / "run")
    outcome = train(configured, ALONE, Silent())
    path = write_results(configured, outcome, 1)
    assert [entry.epoch for entry in outcome.history] == [1, 2, 3]
    saved = load_file(path)
    for name, tensor in weights(outcome).items():
        assert torch.equal(saved[name], tensor)
    right = read_correctness(tmp_path / "run").right()
    assert right.shape == (18,) and right.mean() == pytest.approx(outcome.score.top1)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    logged = [event.value for event in events.Scalars("loss")]
    assert logged == pytest.approx([entry.loss for entry in outcome.history], rel=1e-6)
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_limit_takes_a_part_of_the_training_images_and_is_part_of_the_run(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    limited = job(few_digits, recipe_file, tmp_path / "run", epochs=1, limit=24)
    outcome = train(limited, ALONE, Silent())
    assert outcome.run.steps == 24 // 8
    assert [outcome.run.train_set.labels.count(label) for label in range(3)] == [8] * 3
    assert outcome.score.images == 18
    with pytest.raises(UserError, match="limit 24 instead of None"):
        train(job(few_digits, recipe_file, tmp_path / "run", True, epochs=1), ALONE, Silent())


def test_an_interrupted_run_resumes_with_the_same_results(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    whole = train(job(few_digits, recipe_file, tmp_path / "whole"), ALONE, Silent())
    out = tmp_path / "parts"
    steps = 48 // 8
    for stop_at in (2, steps + 3, 2 * steps):  # before a checkpoint, between two, at an epoch's end
        with pytest.raises(KeyboardInterrupt):
            resume = (out / LAST).exists()
            part = job(few_digits, recipe_file, out, resume=resume, checkpoint_steps=2)
            train(part, ALONE, Silent(stop_at))
    last = train(job(few_digits, recipe_file, out, resume=True), ALONE, Silent())
    assert [e.loss for e in last.history] == pytest.approx(
        [e.loss for e in whole.history], rel=1e-12
    )
    assert [e.metrics for e in last.history] == [e.metrics for e in whole.history]
    expected = weights(whole)
    for name, tensor in weights(last).items():
        assert torch.equal(tensor, expected[name]), name


def test_the_number_of_loader_workers_changes_nothing(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    alone = train(job(few_digits, recipe_file, tmp_path / "a", epochs=1), ALONE, Silent())
    helped = train(
        job(few_digits, recipe_file, tmp_path / "b", epochs=1, workers=2), ALONE, Silent()
    )
    assert helped.history[0].loss == alone.history[0].loss


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_truncated_image_is_one_line_with_and_without_workers(
    recipe_file: Path, tmp_path: Path, split: str
) -> None:
    data = write_folder(tmp_path / "digits")
    broken = sorted((data / split / "1").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:300])
    lines = []
    for workers in (0, 2):
        configured = job(data, recipe_file, tmp_path / f"{workers}", epochs=1, workers=workers)
        with pytest.raises(UserError) as caught:
            train(configured, ALONE, Silent())
        lines.append(caught.value.line())
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"{broken}: cannot be decoded: ") and len(lines[0]) < 300


def test_what_a_data_set_leaves_out_is_logged_once(recipe_file: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "digits")
    shutil.rmtree(data / "test")
    (data / "train" / "1" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    listener = Silent()
    train(job(data, recipe_file, tmp_path / "run", epochs=1), ALONE, listener)
    assert listener.lines[:-1] == [
        f"{data}: no labelled test split: 9 of 48 images, every fifth of each class, are held out"
        " as one",
        f"{data}/train: 1 file left out: 1 hidden or of the operating system (Thumbs.db)",
    ]


def test_parts_of_a_batch_give_nearly_the_gradient_of_the_whole(
    few_digits: Path, tmp_path: Path
) -> None:
    """BatchNorm's statistics are those of a part, so that they differ a little."""
    recipe = tmp_path / "plain.toml"
    recipe.write_text(
        "epochs = 1\nbatch_size = 16\nsize = 64\ncrop_pct = 1.0\n[optimizer]\nlr = 1e-4\n"
    )
    whole = train(job(few_digits, recipe, tmp_path / "a"), ALONE, Silent())
    parts = train(job(few_digits, recipe, tmp_path / "b", accumulation=2), ALONE, Silent())
    assert parts.history[0].loss == pytest.approx(whole.history[0].loss, rel=0.1)


def test_bf16_trains_to_nearly_the_same_loss(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    exact = train(job(few_digits, recipe_file, tmp_path / "a", epochs=1), ALONE, Silent())
    half = train(
        job(few_digits, recipe_file, tmp_path / "b", epochs=1, amp="bf16"), ALONE, Silent()
    )
    assert half.history[0].loss == pytest.approx(exact.history[0].loss, rel=0.02)
    assert half.history[0].loss != exact.history[0].loss


def test_a_teacher_of_the_same_classes_is_followed(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    first = job(few_digits, recipe_file, tmp_path / "teacher", epochs=1)
    path = write_results(first, train(first, ALONE, Silent()), 1)
    taught = job(
        few_digits, recipe_file, tmp_path / "student", epochs=1,
        distillation__teacher="lolvit_xx", distillation__weights=str(path),
    )  # fmt: skip
    plain = train(job(few_digits, recipe_file, tmp_path / "plain", epochs=1), ALONE, Silent())
    assert train(taught, ALONE, Silent()).history[0].loss != plain.history[0].loss


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02K\x0c.", b"PK\x03\x04", b"(S'\\x", b"\xff" * 99]
)
def test_a_damaged_state_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|not a checkpoint"):
        load_last(tmp_path)


def test_a_run_that_is_there_is_not_overwritten(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    configured = job(few_digits, recipe_file, tmp_path / "run", epochs=1)
    train(configured, ALONE, Silent())
    before = (tmp_path / "run" / LAST).read_bytes()
    with pytest.raises(UserError, match="already holds a run; give --resume"):
        train(configured, ALONE, Silent())
    other = job(few_digits, recipe_file, tmp_path / "run", epochs=2, resume=True)
    with pytest.raises(
        UserError, match=r"holds a run with other settings: recipe\.epochs 1 instead of 2"
    ):
        train(other, ALONE, Silent())
    assert (tmp_path / "run" / LAST).read_bytes() == before


def test_a_damaged_checkpoint_is_an_error(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    configured = job(few_digits, recipe_file, tmp_path / "run", epochs=1, resume=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LAST).write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match="is damaged and can't be resumed"):
        train(configured, ALONE, Silent())


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    few_digits: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "wild.toml"
    recipe.write_text(
        "epochs = 9\nbatch_size = 16\nsize = 64\ncrop_pct = 1.0\n"
        '[optimizer]\nname = "sgd"\nlr = 1e18\n[schedule]\nwarmup_epochs = 0\n'
    )
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at epoch \d, step \d") as caught:
        train(job(few_digits, recipe, tmp_path / "run", checkpoint_steps=1), ALONE, Silent())
    if (tmp_path / "run" / LAST).exists():
        assert str(tmp_path / "run" / LAST) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 64}, "48 training images are fewer than a batch of 64"),
        (
            {"batch_size": 6, "accumulation": 4},
            "can't be split over 1 processes in 4 accumulation steps",
        ),
        ({"batch_size": 3}, "mixup and cutmix need an even number"),
    ],
)
def test_a_batch_that_does_not_fit_is_one_line(
    few_digits: Path, recipe_file: Path, tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(job(few_digits, recipe_file, tmp_path / "run", **changes), ALONE, Silent())


def test_splits_of_different_classes_are_refused(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(few_digits, data)
    (data / "test" / "2").rename(data / "test" / "3")
    with pytest.raises(UserError, match="splits have different classes: 2, 3"):
        train(job(data, recipe_file, tmp_path / "run"), ALONE, Silent())


def test_class_names_that_only_look_alike_are_shown_as_they_are(
    recipe_file: Path, tmp_path: Path
) -> None:
    data = write_folder(tmp_path / "data", 4, 2)
    (data / "train" / "2").rename(data / "train" / "cat")
    (data / "test" / "2").rename(data / "test" / "c\u0430t")  # a Cyrillic a
    with pytest.raises(UserError, match=r"'cat', 'c\\u0430t'; give both"):
        train(job(data, recipe_file, tmp_path / "run"), ALONE, Silent())


def test_a_folder_of_data_is_recorded_by_its_place_and_may_be_moved(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "here" / "few", 16, 6)
    monkeypatch.chdir(tmp_path / "here")
    out = tmp_path / "run"
    typed = job(Path("few"), recipe_file, out, epochs=1)
    assert typed.conditions()["data"] == str(tmp_path / "here" / "few")
    train(typed, ALONE, Silent())
    (tmp_path / "here").rename(tmp_path / "there")
    moved = job(tmp_path / "there" / "few", recipe_file, out, resume=True, epochs=1)
    train(moved, ALONE, Silent())


def test_a_full_disk_keeps_the_previous_checkpoint(
    few_digits: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from lolvit import files

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(job(few_digits, recipe_file, out, checkpoint_steps=2), ALONE, Silent(3))
    before = (out / LAST).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(LolvitError, match="No space left"):
        patch.setattr(files.os, "fsync", full)
        train(job(few_digits, recipe_file, out, resume=True), ALONE, Silent())
    assert (out / LAST).read_bytes() == before
    assert [path.name for path in out.iterdir()] == [LAST]
    done = train(job(few_digits, recipe_file, out, resume=True), ALONE, Silent())
    assert len(done.history) == 3 and math.isfinite(done.score.loss)


def test_the_saved_state_holds_plain_values_and_tensors(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    train(job(few_digits, recipe_file, tmp_path / "run", epochs=1), ALONE, Silent())
    state = load_last(tmp_path / "run")
    assert json.loads(json.dumps(state["conditions"])) == state["conditions"]
