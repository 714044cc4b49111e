"""`lolvit evaluate` of detection and segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.accuracy import (
    DenseAccuracyDocument,
    DenseResult,
    DenseTask,
    DetectionErrors,
    DetectionScore,
    Score,
    SegmentationScore,
)
from lolvit.files import sha256_of
from lolvit.manifest import Manifest
from lolvit.output import console, print_table, results
from lolvit.tasks import configured
from lolvit.text import one_line, or_dash
from lolvit.weights import find_weights
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import AnnotatedDataset, limited
from lolvit_data.dataset import Split
from lolvit_data.detection_errors import errors_of
from lolvit_training.dense_evaluation import evaluate_artifacts
from lolvit_training.evaluate import EAGER, UNTRAINED, check_classes

if TYPE_CHECKING:
    from lolvit.models.loading import LoadedCheckpoint
    from lolvit_training.distributed import ProcessGroup


def _open(source: str, split: Split, task: str, limit: int | None) -> AnnotatedDataset:
    dataset = open_annotated(source, split, task)
    for note in dataset.notes:
        console().print(note)
    return limited(dataset, limit)


def _name(dataset: AnnotatedDataset) -> DenseTask:
    return "detection" if dataset.task == "detection" else "segmentation"


def evaluate_export_folder(
    folder: Path,
    manifest: Manifest,
    source: str,
    split: Split,
    runtimes: list[str] | None,
    limit: int | None,
    save: Path | None,
    errors: bool,
) -> DenseAccuracyDocument:
    """Evaluate all artifacts of an export; with `errors` those of a detector too.

    Raises:
        UserError: the data does not match the model, or no runtime opens an artifact.
    """
    dataset = _open(source, split, manifest.task, limit)
    shapes = {spec.name: spec.shape for spec in manifest.signature.outputs}
    classes = configured(manifest).classes(shapes)
    check_classes(dataset, classes or 0, manifest.labels, str(folder))
    if not manifest.weights.trained:
        console().print(UNTRAINED, style="yellow")
    found, failures = evaluate_artifacts(
        folder, manifest, dataset, runtimes, save, errors, console().print
    )
    return DenseAccuracyDocument(
        task=_name(dataset), data=dataset.name, split=split, classes=dataset.classes,
        trained=manifest.weights.trained, results=tuple(found), failures=tuple(failures),
    )  # fmt: skip


def evaluate_checkpoint(
    loaded: LoadedCheckpoint,
    path: Path,
    source: str,
    split: Split,
    limit: int | None,
    workers: int,
    save: Path | None,
    errors: bool,
) -> DenseAccuracyDocument | None:
    """Evaluate a checkpoint in eager PyTorch, with `errors` those of a detector too; None in all
    processes but the first.

    Raises:
        UserError: the data does not match the model.
    """
    from lolvit.models.loading import number_of_classes  # torch: imported on use
    from lolvit_training.distributed import process_group

    if save is not None:
        raise click.UsageError("--save is for an export folder")
    for note in loaded.notes:
        console().print(note)
    dataset = _open(source, split, loaded.task, limit)
    check_classes(dataset, number_of_classes(loaded.model), loaded.labels(), str(path))
    with process_group() as processes:
        loaded.model.to(processes.device)
        score, analysed = _scored(loaded, dataset, processes, workers, errors)
        if not processes.is_main:
            return None
    found = DenseResult(
        model=loaded.name, target=path.name, sha256=sha256_of(find_weights(path)), runtime=EAGER,
        precision="fp32", metrics=score, errors=analysed,
    )  # fmt: skip
    return DenseAccuracyDocument(
        task=_name(dataset), data=dataset.name, split=split, classes=dataset.classes,
        trained=bool(loaded.config.get("trained", True)), results=(found,),
    )  # fmt: skip


def _scored(
    loaded: LoadedCheckpoint,
    dataset: AnnotatedDataset,
    processes: ProcessGroup,
    workers: int,
    errors: bool,
) -> tuple[DetectionScore | SegmentationScore, DetectionErrors | None]:
    """Return a model's metrics and, if they are asked for, a detector's errors."""
    from lolvit_training.objectives import find_objective
    from lolvit_training.objectives.detection import DetectionObjective

    objective = find_objective(loaded.task)
    given = (loaded.model, dataset, loaded.preprocessing(), processes, workers)
    if isinstance(objective, DetectionObjective) and errors:
        metrics = objective.detections(*given)
        return metrics.compute(), errors_of(metrics) if processes.is_main else None
    score = objective.evaluate(*given).score
    assert not isinstance(score, Score)
    return score, None


def show(found: Sequence[DenseResult], per_class: bool) -> None:
    """Print the metrics of each result, those of each class, and the errors."""
    from rich.table import Table

    rows = [_row(entry) for entry in found]
    table = Table("file", "runtime", "precision")
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right")
    for entry, row in zip(found, rows, strict=True):
        table.add_row(entry.target, entry.runtime, entry.precision, *row.values())
    out = results()
    print_table(table, out)
    for entry in found:
        if entry.saved is not None:
            out.print(f"predictions: {entry.saved}")
    for entry in found if per_class else ():
        _show_classes(entry)
    for entry in found:
        if entry.errors is not None:
            _show_errors(entry, entry.errors)


def _row(entry: DenseResult) -> dict[str, str]:
    """Return the cells of a result, by heading."""
    score = entry.metrics
    took = entry.decoding_ms
    after = {"decoding ms": f"{took:.2f}"} if took is not None else {}
    if isinstance(score, DetectionScore):
        figures = {
            "AP": score.ap, "AP50": score.ap50, "AP75": score.ap75, "small": score.ap_small,
            "medium": score.ap_medium, "large": score.ap_large, "AR": score.ar,
        }  # fmt: skip
        counts = {"images": str(score.images), "objects": str(score.objects)}
        return counts | {name: or_dash(value, "{:.2%}") for name, value in figures.items()} | after
    return {
        "images": str(score.images),
        "mIoU": f"{score.miou:.2%}",
        "without background": or_dash(score.miou_foreground, "{:.2%}"),
        "pixels right": f"{score.pixel_accuracy:.2%}",
        **after,
    }


def _show_classes(entry: DenseResult) -> None:
    from rich.table import Table

    boxes = isinstance(entry.metrics, DetectionScore)
    table = Table(title=f"{entry.target} in {entry.runtime}")
    for heading in ("class", *(("objects", "AP", "AP50") if boxes else ("pixels", "IoU"))):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    if isinstance(entry.metrics, DetectionScore):
        for one in entry.metrics.per_class:
            table.add_row(one_line(one.name), str(one.objects), or_dash(one.ap, "{:.1%}"),
                          or_dash(one.ap50, "{:.1%}"))  # fmt: skip
    else:
        for part in entry.metrics.per_class:
            table.add_row(one_line(part.name), f"{part.pixels:.2%}", or_dash(part.iou, "{:.1%}"))
    print_table(table, results())


def _show_errors(entry: DenseResult, errors: DetectionErrors) -> None:
    from rich.table import Table

    out = results()
    table = Table(title=f"errors of {entry.target} in {entry.runtime}")
    table.add_column("kind")
    table.add_column("number", justify="right")
    table.add_column("AP50 if corrected", justify="right")
    for cost in errors.costs:
        kind = cost.kind.replace("_", " ")
        table.add_row(kind, str(cost.count), f"{errors.ap50:.2%} {100 * cost.ap50_gain:+.2f}")
    print_table(table, out)
    out.print(f"AP50 if all classes were one: {errors.class_agnostic_ap50:.2%}")
    if not errors.confusions:
        return
    table = Table(title="objects found with a wrong class alone")
    for heading in ("class", "found as", "objects"):
        table.add_column(heading, justify="right" if heading == "objects" else "left")
    for one in errors.confusions:
        table.add_row(one_line(one.truth), one_line(one.found), str(one.count))
    print_table(table, out)
