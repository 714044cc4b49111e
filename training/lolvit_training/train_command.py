"""`lolvit train`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.output import console, print_json, results
from lolvit.sizes import parse_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from lolvit_training.loop import Listener, Outcome
    from lolvit_training.setup import Job

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--data", required=True, help="digits, crops, fashion-mnist, objects, digit-objects, "
              "a folder with train/CLASS/… and test/CLASS/…, one of WebDataset shards, or "
              "hf:OWNER/NAME; with boxes or masks: objects, digit-objects, a folder as COCO, "
              "Roboflow, VOC, YOLO, BDD100K or Cityscapes, or with images and masks; with "
              "--teacher also photo-crops, photo-crops:FOLDER.")  # fmt: skip
@click.option("--limit", type=click.IntRange(2), help="Train on about N images, spread "
              "over the training split, and evenly over the classes of a classifier.")  # fmt: skip
@click.option("--model", required=True, help="A variant, a MobileViT baseline, or timm/NAME.")
@click.option("--recipe", default="small", show_default=True,
              help="small, imagenet, int8, agreement, fashion-mnist, detection, segmentation, "
              "coco, bdd100k, or a TOML file.")  # fmt: skip
@click.option("--out", type=_PATH, required=True, help="Output folder of this run.")
@click.option("--epochs", type=click.IntRange(1), help="Overrides the recipe.")
@click.option("--size", help="256; of detection and segmentation also HEIGHTxWIDTH.")
@click.option("--batch-size", type=click.IntRange(1), help="Global batch size, over all processes.")
@click.option(
    "--accumulation", type=click.IntRange(1), help="Gradient accumulation steps per batch."
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option("--backbone-lr-scale", type=click.FloatRange(0, 1),
              help="Of detection and segmentation: the backbone's learning rate as a share of the "
              "head's; 0 freezes it.")  # fmt: skip
@click.option("--cached-views", type=click.IntRange(0),
              help="With a frozen backbone: compute its features of so many augmented views of "
              "each image once.")  # fmt: skip
@click.option("--amp", type=click.Choice(["none", "bf16", "fp16"]), help="Mixed precision.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--teacher", help="Teacher model for distillation; needs --teacher-weights.")
@click.option("--teacher-weights", type=_PATH, help="The teacher's checkpoint.")
@click.option("--weights", type=_PATH, help="Checkpoint to fine-tune.")
@click.option("--resume", is_flag=True, help="Resume the run in --out.")
@click.option("--checkpoint-steps", type=click.IntRange(1),
              help="Also save a checkpoint every N steps; default: every epoch.")  # fmt: skip
@click.option("--workers", type=click.IntRange(0), help="Data loader worker processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def train(data: str, model: str, recipe: str, out: Path, as_json: bool, **options: Any) -> None:
    """Train a model, on a single process or under torchrun.

    torchrun --nproc-per-node N -m lolvit train … splits each batch over N processes. --resume
    continues an interrupted run from its last checkpoint with the same results; under torchrun a
    restart resumes by itself.
    """
    if (options["teacher"] is None) != (options["teacher_weights"] is None):
        raise click.UsageError("--teacher and --teacher-weights go together")
    from lolvit_data.photo_crops import is_photo_crops
    from lolvit_training.distributed import process_group
    from lolvit_training.loop import train as run_training  # loads torch
    from lolvit_training.results import as_document, write_results
    from lolvit_training.teacher import with_teacher_outputs

    with process_group() as processes:
        job = _job(data, model, recipe, out, options, processes.world_size)
        with _listener(processes.is_main) as listener:
            if is_photo_crops(data):
                job = with_teacher_outputs(job, processes, listener.log)
            outcome = run_training(job, processes, listener)
        if not processes.is_main:
            return
        path = write_results(job, outcome, processes.world_size)
    if as_json:
        print_json(as_document(job, outcome, path))
    else:
        _show(outcome, path)


def _job(
    data: str, model: str, recipe: str, out: Path, options: dict[str, Any], processes: int
) -> Job:
    from lolvit.models.names import resolve_name
    from lolvit_training.recipe import read_recipe
    from lolvit_training.setup import Job

    resolve_name(model)
    workers = options["workers"]
    return Job(
        model=model,
        data=data,
        recipe=read_recipe(recipe, _changes(options)),
        out=out,
        weights=options["weights"],
        resume=options["resume"],
        limit=options["limit"],
        workers=_default_workers(processes) if workers is None else workers,
        checkpoint_steps=options["checkpoint_steps"],
    )


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe's fields that options override."""
    direct = (
        "epochs", "batch_size", "accumulation", "amp", "seed", "backbone_lr_scale",
        "cached_views",
    )  # fmt: skip
    changes = {name: options[name] for name in direct if options[name] is not None}
    if options["size"] is not None:
        changes["size"] = parse_size(options["size"])
    if options["lr"] is not None:
        changes["optimizer.lr"] = options["lr"]
    if options["teacher"] is not None:
        changes["distillation.teacher"] = options["teacher"]
        changes["distillation.weights"] = str(options["teacher_weights"])
    return changes


def _default_workers(processes: int) -> int:
    """Return the number of loader workers: the cores left beside one for computing, at most
    eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(8, (cores or 1) // processes - 2))


class _Listener:
    """Logs a line per epoch, and shows a progress bar on a terminal."""

    def __init__(self, out: Console, bar: Progress) -> None:
        self._out, self._bar = out, bar
        self._task = bar.add_task("training", total=1)

    def log(self, line: str) -> None:
        """Print a line."""
        self._out.print(line)

    def progress(self, done: int, planned: int) -> None:
        """Draw the bar."""
        self._bar.update(self._task, completed=done, total=planned)


class _Silent:
    """For ranks other than 0."""

    def log(self, line: str) -> None:
        """Print nothing."""

    def progress(self, done: int, planned: int) -> None:
        """Draw nothing."""


@contextmanager
def _listener(first: bool) -> Iterator[Listener]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    if not first:
        yield _Silent()
        return
    out = console()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        yield _Listener(out, bar)


def _show(outcome: Outcome, path: Path) -> None:
    out = results()
    out.print(outcome.run.objective.summary(outcome.score))
    out.print(f"written to {path}")
