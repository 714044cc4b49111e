"""Compute a teacher's outputs on crops of photos once, into a folder of the run."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lolvit.errors import UserError
from lolvit.files import sha256_of, write_atomic
from lolvit.manifest import Preprocessing
from lolvit.models.loading import LoadedCheckpoint, load_checkpoint, number_of_classes
from lolvit.weights import find_weights
from lolvit_data import photo_crops
from lolvit_data.dataset import Split
from lolvit_data.photo_crops import PhotoCrops
from lolvit_data.table import recorded_source
from lolvit_data.teacher_outputs import (
    DESCRIPTION,
    FEWEST_CLASSES,
    Crops,
    TeacherDescription,
    indices_of_part,
    is_teacher_outputs,
    number_of_parts,
    part_path,
    read_description,
)
from lolvit_training.distributed import ProcessGroup
from lolvit_training.recipe import Distillation
from lolvit_training.scoring import predict_logits
from lolvit_training.setup import Job

Log = Callable[[str], None]


def with_teacher_outputs(job: Job, processes: ProcessGroup, log: Log) -> Job:
    """Return a job on `photo-crops` as one on its folder of the teacher's outputs, OUT/photo-crops,
    and compute what is missing there: an interrupted computation resumes at its last file.

    Raises:
        UserError: there is no teacher, it can't be loaded or fails on the photos, or the folder has
            the outputs of another teacher or on other photos.
    """
    distillation = job.recipe.distillation
    if distillation is None:
        raise UserError(
            "has no classes of its own: a model is trained on a teacher's outputs",
            where=job.data,
            remedy="give --teacher and --teacher-weights",
        )
    folder = job.out / photo_crops.NAME
    teacher = load_checkpoint(distillation.teacher, Path(distillation.weights))
    crops: dict[Split, PhotoCrops] = {
        "train": photo_crops.load(job.data, "train", job.limit),
        "test": photo_crops.load(job.data, "test"),
    }
    description = _description(teacher, distillation, job.data, crops)
    if is_teacher_outputs(folder):
        _check_same(read_description(folder), description, folder)
    elif processes.is_main:
        write_atomic(folder / DESCRIPTION, description.model_dump_json(indent=2) + "\n")
    for split, images in crops.items():
        _compute(folder, split, images, teacher, description.preprocessing, job, processes, log)
    processes.all_reduce(np.zeros(1))  # none goes on before all files are there
    recipe = job.recipe.model_copy(update={"distillation": None})
    return replace(job, data=str(folder), recipe=recipe, limit=None)


def _description(
    teacher: LoadedCheckpoint,
    distillation: Distillation,
    source: str,
    crops: dict[Split, PhotoCrops],
) -> TeacherDescription:
    classes = number_of_classes(teacher.model)
    if classes < FEWEST_CLASSES:
        raise UserError(
            f"the teacher has {classes} classes",
            where=distillation.weights,
            remedy=f"give one of at least {FEWEST_CLASSES}",
        )
    return TeacherDescription(
        teacher=teacher.name,
        weights_sha256=sha256_of(find_weights(Path(distillation.weights))),
        preprocessing=teacher.preprocessing().model_copy(update={"crop_pct": 1.0}),
        classes=teacher.labels() or tuple(map(str, range(classes))),
        source=recorded_source(source),
        train=Crops.of(crops["train"]),
        test=Crops.of(crops["test"]),
    )


def _check_same(there: TeacherDescription, ours: TeacherDescription, folder: Path) -> None:
    fields = [
        name for name in type(ours).model_fields if getattr(there, name) != getattr(ours, name)
    ]
    if fields:
        raise UserError(
            f"has outputs of another teacher or on other photos: {', '.join(fields)} differ",
            where=str(folder),
            remedy="choose another --out",
        )


def _compute(
    folder: Path,
    split: Split,
    crops: PhotoCrops,
    teacher: LoadedCheckpoint,
    preprocessing: Preprocessing,
    job: Job,
    processes: ProcessGroup,
    log: Log,
) -> None:
    """Compute the files of a split that are not there; each process its share of them."""
    missing = [
        number
        for number in range(number_of_parts(crops.count))
        if not part_path(folder, split, number).exists()
    ]
    if missing:
        log(f"outputs of {teacher.name} on {crops.count} crops of the {split} split")
    model = teacher.model.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for number in processes.shard(missing):
        indices = indices_of_part(number, crops.count)
        found = predict_logits(
            model,
            crops,
            indices,
            preprocessing,
            device=processes.device,
            workers=job.workers,
            where=f"the teacher {teacher.name}",
        )
        outputs = np.concatenate([logits for _, logits in found]).astype(np.float16)
        if not np.isfinite(outputs).all():
            raise UserError(
                "its outputs exceed half precision", where=f"the teacher {teacher.name}"
            )
        buffer = io.BytesIO()
        np.save(buffer, outputs)
        write_atomic(part_path(folder, split, number), buffer.getvalue())
