"""`lolvit evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.errors import DeviceError, UserError
from lolvit.output import console, print_json, print_table, results
from lolvit.text import one_line, or_dash
from lolvit.variants import HEAD_TASKS

if TYPE_CHECKING:
    from lolvit.accuracy import (
        AccuracyDocument,
        DenseAccuracyDocument,
        EvaluationResult,
        TeacherScore,
    )
    from lolvit.models.loading import LoadedCheckpoint

    Document = AccuracyDocument | DenseAccuracyDocument

_MANIFEST = "manifest.json"


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--data", help="As for train; default: the data that the checkpoint was trained on.")
@click.option("--model", help="The model, if the checkpoint does not record it.")
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--runtime", "runtimes", help="Comma-separated, such as ort,litert; default: the "
              "first available one of each format.")  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(2), help="Evaluate about N images, stratified by class."
)
@click.option("--workers", type=click.IntRange(0), default=0, help="Data loader worker processes.")
@click.option("--per-class", is_flag=True, help="Show the metrics of each class.")
@click.option("--errors", is_flag=True, help="Of a detector: the kinds of its errors, and what "
              "each costs.")  # fmt: skip
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR", help="Also write the "
              "predictions: detections as COCO results, maps as PNG masks.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def evaluate(
    target: Path,
    data: str | None,
    model: str | None,
    split: Any,
    runtimes: str | None,
    limit: int | None,
    workers: int,
    per_class: bool,
    errors: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Evaluate the accuracy of TARGET: a checkpoint, or an export folder with all its artifacts.

    Classifiers have top-1 and top-5 accuracy, detectors COCO's average precision, segmentation
    models the mean intersection over union.

    A checkpoint runs in eager PyTorch; torchrun splits the images over processes, with the same
    result. Artifacts run in their runtimes, each in a process of its own.
    """
    if (target / _MANIFEST).exists():
        if model is not None:
            raise click.UsageError("--model is for a checkpoint: a manifest names its model")
        document: Document | None = _export(target, data, split, runtimes, limit, save, errors)
    else:
        if runtimes is not None:
            raise click.UsageError("--runtime is for an export folder")
        document = _checkpoint(target, data, model, split, limit, workers, save, errors)
    if document is None:
        return  # rank 0 prints
    if as_json:
        print_json(document.model_dump(mode="json"))
    else:
        _show_document(document, per_class)
    if document.failures:
        raise DeviceError("; ".join(failed.error for failed in document.failures))


def _export(
    folder: Path,
    data: str | None,
    split: Any,
    runtimes: str | None,
    limit: int | None,
    save: Path | None,
    errors: bool,
) -> Document:
    from lolvit.accuracy import AccuracyDocument
    from lolvit.manifest import read_manifest
    from lolvit.registry import choose_many
    from lolvit_data.table import open_dataset
    from lolvit_runtimes.table import RUNTIMES
    from lolvit_training.evaluate import (
        UNTRAINED,
        EvaluationSet,
        check_classes,
        evaluate_export,
    )

    manifest = read_manifest(folder)
    chosen = choose_many("runtime", runtimes, RUNTIMES) if runtimes is not None else None
    source = data or _recorded_data(folder / manifest.weights.path)
    _check_options(manifest.task, save, errors)
    if manifest.task in HEAD_TASKS:
        from lolvit_training.dense_evaluation_command import evaluate_export_folder

        return evaluate_export_folder(folder, manifest, source, split, chosen, limit, save, errors)
    _require_classifier(manifest.task, folder)
    dataset = open_dataset(source, split)
    _print_notes(dataset.notes)
    classes = manifest.signature.outputs[0].shape[-1]
    check_classes(dataset, classes, manifest.labels, str(folder))
    say = console().print
    if not manifest.weights.trained:
        say(UNTRAINED, style="yellow")
    found, failures = evaluate_export(
        folder,
        manifest,
        EvaluationSet.of(dataset, limit),
        chosen,
        say,
    )
    return AccuracyDocument(
        data=dataset.name,
        split=split,
        classes=dataset.classes,
        trained=manifest.weights.trained,
        results=tuple(found),
        failures=tuple(failures),
    )


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        console().print(note)


def _check_options(task: str, save: Path | None, errors: bool) -> None:
    """Check that what is asked for is of a model's task.

    Raises:
        UsageError: predictions can't be saved, or errors not be analysed.
    """
    if save is not None and task not in HEAD_TASKS:
        raise click.UsageError("--save is for detection and segmentation")
    if errors and task != "detection":
        raise click.UsageError("--errors is for detection")


def _require_classifier(task: str, where: Path) -> None:
    """Check that a model is a classifier, whose accuracy can be evaluated.

    Raises:
        UserError: it is for another task.
    """
    if task != "classification":
        raise UserError(
            f"is a model for {task}: it has no accuracy",
            where=str(where),
            remedy="compare its outputs with eager PyTorch: lolvit verify",
        )


def _checkpoint(
    path: Path,
    data: str | None,
    model: str | None,
    split: Any,
    limit: int | None,
    workers: int,
    save: Path | None,
    errors: bool,
) -> Document | None:
    """Evaluate a checkpoint; None: in a process of torchrun's that is not the main one."""
    from lolvit.models.loading import load_checkpoint

    loaded = load_checkpoint(model, path)
    source = data or _data_of(loaded.config, path)
    _check_options(loaded.task, save, errors)
    if loaded.task in HEAD_TASKS:
        from lolvit_training.dense_evaluation_command import evaluate_checkpoint

        return evaluate_checkpoint(loaded, path, source, split, limit, workers, save, errors)
    _require_classifier(loaded.task, path)
    return _classifier_checkpoint(loaded, path, source, split, limit, workers)


def _classifier_checkpoint(
    loaded: LoadedCheckpoint, path: Path, source: str, split: Any, limit: int | None, workers: int
) -> AccuracyDocument | None:
    from lolvit.accuracy import AccuracyDocument, EvaluationResult
    from lolvit.files import sha256_of
    from lolvit.models.loading import number_of_classes
    from lolvit.weights import find_weights
    from lolvit_data.dataset import limited
    from lolvit_data.table import open_dataset
    from lolvit_training.distributed import process_group
    from lolvit_training.evaluate import EAGER, check_classes
    from lolvit_training.scoring import evaluate_eager

    dataset = open_dataset(source, split)
    _print_notes((*loaded.notes, *dataset.notes))
    check_classes(dataset, number_of_classes(loaded.model), loaded.labels(), str(path))
    with process_group() as processes:
        loaded.model.to(processes.device)
        metrics = evaluate_eager(
            loaded.model,
            limited(dataset, limit),
            loaded.preprocessing(),
            processes,
            workers=workers,
            where=str(path),
        )
        if not processes.is_main:
            return None
    found = EvaluationResult(
        model=loaded.name,
        target=path.name,
        sha256=sha256_of(find_weights(path)),
        runtime=EAGER,
        precision="fp32",
        metrics=metrics.compute(),
        agreement=1.0,
    )
    return AccuracyDocument(
        data=dataset.name,
        split=split,
        classes=dataset.classes,
        trained=bool(loaded.config.get("trained", True)),
        results=(found,),
    )


def _recorded_data(weights: Path) -> str:
    """Return the data that an export's weights were trained on, without loading torch."""
    from safetensors import SafetensorError, safe_open

    from lolvit.documents import parse_json

    try:
        with safe_open(weights, framework="np") as file:
            config = parse_json((file.metadata() or {}).get("lolvit", "{}").encode())
            if not isinstance(config, dict):
                raise ValueError("its configuration is not an object")
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"not a safetensors file: {error}", where=str(weights), remedy="export again"
        ) from error
    return _data_of(config, weights)


def _data_of(config: Mapping[str, Any], path: Path) -> str:
    data = config.get("data")
    if not isinstance(data, str):
        raise UserError(
            "does not record what it was trained on", where=str(path), remedy="give --data"
        )
    if Path(data).is_absolute() and not Path(data).exists():
        raise UserError(
            f"was trained on {data}, which is not here", where=str(path), remedy="give --data"
        )
    return data


def _show_document(document: Document, per_class: bool) -> None:
    from lolvit.accuracy import AccuracyDocument

    if isinstance(document, AccuracyDocument):
        _show(document.results, per_class)
        return
    from lolvit_training.dense_evaluation_command import show

    show(document.results, per_class)


def _show(found: Sequence[EvaluationResult], per_class: bool) -> None:
    from rich.table import Table

    taught = any(entry.metrics.teacher for entry in found)
    teachers = ("teacher's top-5", "KL") if taught else ()
    table = Table()
    for heading in ("file", "runtime", "precision", "images", "top-1", "top-5", "loss",
                    *teachers, "agreement", "SNR (dB)"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("file", "runtime") else "right")
    for entry in found:
        score = entry.metrics
        table.add_row(
            entry.target,
            entry.runtime,
            entry.precision,
            str(score.images),
            f"{score.top1:.2%}",
            or_dash(score.top5, "{:.2%}"),
            f"{score.loss:.4f}",
            *_teacher_columns(score.teacher),
            or_dash(entry.agreement, "{:.2%}"),
            or_dash(entry.snr_db, "{:.1f}"),
        )
    out = results()
    print_table(table, out)
    if per_class:
        for entry in found:
            print_table(_class_table(entry), out)


def _teacher_columns(score: TeacherScore | None) -> tuple[str, ...]:
    """Return the overlap of the five highest classes and the divergence, if there is a teacher."""
    return () if score is None else (f"{score.top5_overlap:.2%}", f"{score.kl:.4f}")


def _class_table(entry: EvaluationResult) -> Any:
    from rich.table import Table

    table = Table(title=f"{entry.target} in {entry.runtime}")
    for heading in ("class", "images", "recall", "precision"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for one in entry.metrics.per_class:
        table.add_row(
            one_line(one.name),
            str(one.images),
            or_dash(one.recall, "{:.1%}"),
            or_dash(one.precision, "{:.1%}"),
        )
    return table
