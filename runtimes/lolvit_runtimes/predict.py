"""Run inference on photos with an artifact: `lolvit.load` and `lolvit predict`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lolvit.errors import DeviceError, UserError
from lolvit.files import FOLDER_ARTIFACTS
from lolvit.manifest import (
    CHANNELS,
    MANIFEST_NAME,
    Artifact,
    Manifest,
    Preprocessing,
    TensorSpec,
    by_signature,
    check_artifact,
    read_manifest,
)
from lolvit.placement import Placement
from lolvit.registry import choose
from lolvit.tasks import Model, Prediction, Task, configured, find_task
from lolvit_runtimes.bare import format_of
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocessing import (
    one_per_channel,
    placement_of,
    to_batches,
    to_input,
    to_pixels,
)
from lolvit_runtimes.probe import runtime_status
from lolvit_runtimes.session import Array, Session, open_session
from lolvit_runtimes.table import RUNTIMES, opens
from lolvit_runtimes.worker.isolated import IsolatedSession

DEFAULT_CROP_PCT = 0.875
Photo = str | os.PathLike[str] | Image.Image


@dataclass(frozen=True)
class Options:
    """The user's options of a prediction; None: not given."""

    runtime: str | None = None
    precision: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    batch: int | None = None


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo as an input of batch size 1, in the artifact's layout and dtype, and where it lies
    there."""

    inputs: Array
    placement: Placement


@dataclass
class Predictor:
    """An open artifact with its preprocessing and its task; `manifest` is None for a file without
    one.

    Call it with a path or a PIL image to get the task's prediction. Close it, or use it as a
    context manager, to free the runtime.
    """

    path: Path
    session: Session
    input: TensorSpec
    preprocessing: Preprocessing
    task: Task
    labels: tuple[str, ...] | None = None
    manifest: Manifest | None = None
    artifact: Artifact | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the runtime; the predictor can't be used afterwards."""
        self.session.close()

    def __call__(self, photo: Photo, **options: Any) -> Prediction:
        """Return the prediction for one photo; `options` are the task's: `top=5` of classification,
        `score_threshold=0.5`, `iou_threshold` and `max_detections` of detection.

        Raises:
            UserError: the photo can't be read.
            DeviceError: the runtime failed, or its outputs are not finite.
        """
        (prediction,) = self.predict([photo], **options)
        return prediction

    def predict(self, photos: Iterable[Photo], **options: Any) -> Iterator[Prediction]:
        """Yield the prediction for each photo, in batches of the artifact's batch size.

        Raises:
            UserError: a photo can't be read.
            DeviceError: the runtime failed, or its outputs are not finite.
        """
        waiting: list[PreparedPhoto] = []
        for photo in photos:
            waiting.append(self.prepare(photo))
            if len(waiting) == self.input.batch:
                yield from self.predict_inputs(waiting, **options)
                waiting = []
        yield from self.predict_inputs(waiting, **options)

    def prepare(self, photo: Photo) -> PreparedPhoto:
        """Return a photo as the artifact's input.

        Raises:
            UserError: the photo can't be read.
        """
        image = self.decode(photo)
        inputs = to_input(to_pixels(image, self.preprocessing), self.preprocessing, self.input)
        return PreparedPhoto(inputs, placement_of((image.height, image.width), self.preprocessing))

    def decode(self, photo: Photo) -> Image.Image:
        """Return a photo in the model's colours, upright.

        Raises:
            UserError: the photo can't be read.
        """
        source = photo if isinstance(photo, Image.Image) else Path(photo)
        return load_photo(source, self.preprocessing.color)

    def predict_inputs(
        self, photos: Sequence[PreparedPhoto], **options: Any
    ) -> Iterator[Prediction]:
        """Yield the prediction for each photo that `prepare` returned.

        Raises:
            DeviceError: the runtime failed, or its outputs are not finite.
        """
        colors = self.manifest.colors if self.manifest is not None else None
        waiting = iter(photos)
        for inputs, count in to_batches([each.inputs for each in photos], self.input.batch):
            outputs = self.outputs(inputs)
            for index in range(count):
                one = {name: array[index : index + 1] for name, array in outputs.items()}
                model = Model(next(waiting).placement, self.labels, colors)
                try:
                    yield self.task.predict(one, model, {**self.options, **options})
                except DeviceError as error:
                    raise DeviceError(error.what, where=str(self.path)) from error

    def outputs(self, inputs: Array) -> dict[str, Array]:
        """Return the outputs for a batch (B, ...), by the names of the model's signature."""
        outputs = self.session.run({self.input.name: inputs})
        if self.manifest is None or self.artifact is None:
            return outputs
        return by_signature(self.manifest.signature, self.artifact, outputs)


def load(
    path: str | os.PathLike[str],
    *,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int = 1,
    **options: Any,
) -> Predictor:
    """Open an export folder, an artifact in one, or a file without a manifest, to predict with.

    Examples:
        >>> with lolvit.load("out/lolvit_x-256x256") as predictor:  # doctest: +SKIP
        ...     predictor("photo.jpg").top[0].label
        'espresso'

    Args:
        path: the folder or file.
        runtime: such as "ort"; default: the first installed one that opens an artifact.
        precision: such as "int8"; default: fp32 if exported.
        threads: number of threads of the runtime.
        options: for a file without a manifest `mean`, `std`, `crop_pct` and `batch`.

    Raises:
        UserError: no artifact matches the options, a file does not match its manifest or is not
            valid, or the preprocessing of a file without a manifest is not given.
        DeviceError: the runtime can't open the artifact.
        MissingExtraError: the runtime is not installed.
    """
    return open_predictor(
        Path(path), Options(runtime=runtime, precision=precision, **options), threads
    )


def open_predictor(path: Path, options: Options, threads: int = 1) -> Predictor:
    """Open an export folder, an artifact in one, or a file without a manifest.

    Files with a manifest are opened in this process, after their size and sha256 have been checked;
    others, and those of runtimes that can't share a process, in a child process.

    Raises:
        UserError: no artifact matches the options, a file does not match its manifest or is not
            valid, or the preprocessing of a file without a manifest is not given.
        DeviceError: the runtime can't open the artifact.
    """
    folder, manifest, artifacts = find_artifacts(path)
    if manifest is None:
        return _open_bare(path, options, threads)
    if options.mean or options.std or options.crop_pct or options.batch:
        raise UserError(
            "has a manifest, which defines the preprocessing and batch size",
            where=str(path),
            remedy="leave out --mean, --std, --crop-pct, --batch",
        )
    task = configured(manifest)
    runtime, artifact = pick(artifacts, options, path)
    checked = check_artifact(folder, artifact)
    opened = IsolatedSession if RUNTIMES[runtime].isolated else open_session
    session = opened(runtime, checked, artifact, threads=threads)
    return Predictor(
        path=checked,
        session=session,
        input=artifact.image,
        preprocessing=manifest.preprocessing,
        task=task,
        labels=manifest.labels,
        manifest=manifest,
        artifact=artifact,
    )


def find_artifacts(path: Path) -> tuple[Path, Manifest | None, tuple[Artifact, ...]]:
    """Return the folder, manifest and artifacts of a path: all artifacts of an export folder, or
    the one at the path; (parent, None, ()) for a file that no manifest lists.

    Raises:
        UserError: there is no such path, or its manifest can't be read.
    """
    if path.is_dir() and path.suffix not in FOLDER_ARTIFACTS:
        manifest = read_manifest(path)
        return path, manifest, manifest.artifacts
    if path.exists() and (path.parent / MANIFEST_NAME).exists():
        folder = path.parent
        manifest = read_manifest(folder)
        listed = tuple(a for a in manifest.artifacts if folder / a.path == path)
        if listed:
            return folder, manifest, listed
    format_of(path)
    return path.parent, None, ()


def pick(artifacts: tuple[Artifact, ...], options: Options, path: Path) -> tuple[str, Artifact]:
    """Return the first installed runtime that opens one of the artifacts, and that artifact: in the
    requested precision, or else fp32 first.

    Raises:
        UserError: no artifact has the precision, or no installed runtime opens any.
    """
    fitting = [a for a in artifacts if options.precision in (None, a.precision)]
    if not fitting:
        available = ", ".join(sorted({a.precision for a in artifacts}))
        raise UserError(
            f"has no {options.precision} artifact",
            where=str(path),
            remedy=f"choose from: {available}",
        )
    for runtime in _candidate_runtimes(options.runtime):
        for artifact in sorted(fitting, key=lambda a: a.precision != "fp32"):
            if opens(runtime, artifact):
                return runtime, artifact
    raise _no_runtime_error({a.file_format for a in fitting}, options.runtime, path)


def _candidate_runtimes(requested: str | None) -> list[str]:
    """Return the requested runtime, or else all that are installed."""
    if requested is not None:
        return [choose("runtime", requested, RUNTIMES)]
    return [status.id for status in runtime_status() if status.ready]


def _no_runtime_error(formats: set[str], requested: str | None, path: Path) -> UserError:
    listed = ", ".join(sorted(formats))
    if requested:
        return UserError(
            f"runtime '{requested}' does not open {listed}",
            where=str(path),
            remedy="choose another --runtime, or leave it out",
        )
    extras = sorted({entry.extra for entry in RUNTIMES.values() if entry.format in formats})
    commands = " or ".join(f"pip install 'lolvit[{extra}]'" for extra in extras)
    return UserError(
        f"no runtime that opens {listed} is installed", where=str(path), remedy=f"run: {commands}"
    )


def _open_bare(path: Path, options: Options, threads: int) -> Predictor:
    format = format_of(path)
    runtimes = [r for r in _candidate_runtimes(options.runtime) if RUNTIMES[r].format == format]
    if not runtimes:
        raise _no_runtime_error({format}, options.runtime, path)
    session = IsolatedSession(runtimes[0], path, threads=threads, batch=options.batch or 1)
    (image,) = session.inputs
    try:
        if options.batch not in (None, image.batch):
            raise UserError(
                f"has a fixed batch of {image.batch}", where=str(path), remedy="leave out --batch"
            )
        preprocessing = _given_preprocessing(options, image, path)
    except BaseException:
        session.close()
        raise
    logits = [spec.meaning for spec in session.outputs] == ["logits"]
    return Predictor(
        path=path,
        session=session,
        input=image,
        preprocessing=preprocessing,
        task=find_task("classification" if logits else "tensors"),
    )


def _given_preprocessing(options: Options, spec: TensorSpec, path: Path) -> Preprocessing:
    """Return the preprocessing of the user's options, at the artifact's size. An artifact that
    takes pixels normalizes them itself: mean and std are not used then.

    Raises:
        UserError: mean and std are not given, or do not fit the channels.
    """
    if spec.meaning == "normalized" and not (options.mean and options.std):
        raise UserError(
            f"no {MANIFEST_NAME} lists it, so its preprocessing is unknown",
            where=str(path),
            remedy="give --mean and --std, or the folder that lolvit export wrote",
        )
    channels = spec.shape[3] if spec.layout == "NHWC" else spec.shape[1]
    mean = one_per_channel("--mean", options.mean or (0.0,), channels, str(path))
    std = one_per_channel("--std", options.std or (1.0,), channels, str(path))
    return Preprocessing(
        size=spec.image_size,
        crop_pct=options.crop_pct or DEFAULT_CROP_PCT,
        mean=mean,
        std=std,
        color=next(color for color, count in CHANNELS.items() if count == channels),
    )
