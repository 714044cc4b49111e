"""From a model to a folder of verified artifacts: `lolvit.export`, and `lolvit export`."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn
from torch.fx import GraphModule

from lolvit.errors import DeviceError, GateFailedError, LolvitError, UserError
from lolvit.files import remove, sha256_of, size_of, staged_folder
from lolvit.manifest import (
    MANIFEST_NAME,
    Artifact,
    Manifest,
    RewriteRecord,
    Signature,
    TensorSpec,
    Weights,
    write_manifest,
)
from lolvit.models import macs_of, parameters_of
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.reparam import reparameterize
from lolvit.registry import choose_many
from lolvit.sizes import parse_size
from lolvit.tasks import Task, find_task, specs_of
from lolvit_export.capture import (
    INPUT_NAME,
    ONLY_OUTPUT,
    OutputDescription,
    capture,
    described_outputs,
)
from lolvit_export.lowering.failures import conversion_failure
from lolvit_export.lowering.lowerers import Lowerers, packed
from lolvit_export.lowering.request import BASE_PREFIX, Lowered, LoweringRequest
from lolvit_export.photos import verification_pixels
from lolvit_export.prepare import ModelOptions, Prepared, export_name, own_size, prepare
from lolvit_export.quantization.images import Images, open_images
from lolvit_export.quantization.job import QuantizationJob, read_plans
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.recommend import recommended
from lolvit_export.quiet import quiet
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from lolvit_export.targets import (
    find_target,
    imported,
    precision_names,
    require_precisions,
    target_names,
)
from lolvit_export.verification.reference import Evidence, Reference
from lolvit_export.verification.verifiers import Verifiers
from lolvit_runtimes.qnn_socs import Soc

Progress = Callable[[str], None]
Verify = Callable[[Path, Artifact], Artifact]

DEFAULT_TARGETS = ("onnx", "tflite", "coreml")
STATE_NAME, PROGRAM_NAME = "weights.safetensors", "model.pt2"
_AFTER_QUANTIZING = (
    "quantize trained weights (--weights), calibrated on the images that they were trained on"
    " (--calibrate); if they are, train on with --recipe int8"
)
_AFTER_QUANTIZING_RANDOM = (
    "random weights lose more accuracy in few bits than trained ones; quantize trained weights"
    " (--weights), or, for artifacts that are only to be timed, add --for-timing"
)

_TOOLS = (
    "lolvit",
    "torch",
    "timm",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "coremltools",
    "litert-torch",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "executorch",
    "onnxruntime-qnn",
)


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to."""

    model: str | nn.Module
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    out: Path
    options: ModelOptions = field(default_factory=ModelOptions)
    batch: int = 1
    rewrites: bool = True
    plans: tuple[Path, ...] = ()  # of quantized artifacts: what to do instead of a search
    socs: tuple[Soc, ...] = ()  # what qnn artifacts are compiled for
    for_timing: bool = False  # of untrained weights: artifacts whatever their gates say

    def quantized(self, target: str) -> list[str]:
        """Return the precisions that a target is quantized to."""
        return [name for name in find_target(target).quantized if name in self.precisions]


@dataclass(frozen=True)
class Exported:
    """An export: its folder with the manifest in it, the artifacts that failed their gates and are
    not in it, and the targets that the model could not be converted to, or whose runtime failed on
    it. `folder` is missing where nothing is left."""

    folder: Path
    manifest: Manifest
    withheld: tuple[Artifact, ...] = ()
    failures: Mapping[str, LolvitError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is there."""
        return not self.withheld and not self.failures

    def raise_on_failure(self) -> None:
        """Check that every target was written and no artifact withheld.

        Raises:
            UserError: a target's converter cannot convert the model.
            DeviceError: a target's runtime failed on its artifact.
            GateFailedError: an artifact was withheld; the message names the gates that it failed.
        """
        if self.failures:
            first = next(iter(self.failures.values()))
            others = [artifact.path for artifact in self.manifest.artifacts]
            failed = [line for artifact in self.withheld for line in artifact.failed_gates()]
            raise type(first)(
                "; ".join([*(error.what for error in self.failures.values()), *failed]),
                where=str(self.folder),
                remedy=f"the others were written: {', '.join(others)}"
                if others
                else "nothing was written",
            )
        self._refuse_withheld()

    def _refuse_withheld(self) -> None:
        if not self.withheld:
            return
        failed = [line for artifact in self.withheld for line in artifact.failed_gates()]
        kept = [artifact.path for artifact in self.manifest.artifacts]
        written = f"written without it: {', '.join(kept)}" if kept else "nothing was written"
        few_bits = any(a.precision in find_target(a.format).quantized for a in self.withheld)
        trained = self.manifest.weights.trained
        advice = _AFTER_QUANTIZING if trained else _AFTER_QUANTIZING_RANDOM
        raise GateFailedError(
            f"verification failed: {'; '.join(failed)}",
            where=str(self.folder),
            remedy=f"{written}; {advice}" if few_bits else written,
        )


def export(
    model: str | nn.Module,
    *,
    size: int | tuple[int, int] | str | None = None,
    targets: Iterable[str] | str = DEFAULT_TARGETS,
    precision: Iterable[str] | str = ("fp32",),
    out: str | os.PathLike[str] = "out",
    batch: int = 1,
    rewrites: bool = True,
    progress: Progress | None = None,
    weights: str | os.PathLike[str] | None = None,
    calibrate: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    task: str | None = None,
    trained: bool = True,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
) -> Exported:
    """Write a model as verified artifacts into OUT/NAME-HEIGHTxWIDTH, and return where.

    Each artifact is run in its runtime on photos and compared with eager PyTorch in float64; one
    that fails its gates is withheld, the others are written.

    >>> import lolvit, torchvision                                     # doctest: +SKIP
    >>> model = torchvision.models.mobilenet_v3_small(weights="DEFAULT")
    >>> exported = lolvit.export(model, size=224, targets=["onnx", "tflite"])
    >>> lolvit.load(exported.folder)("photo.jpg").top[0].index
    967

    Args:
        model: a module with one image input (B, C, H, W), C 1, 3 or 4, and one or several output
            tensors in a tuple, list or dict, which is copied and left as it is; or the name of a
            LOLViT variant, of a baseline, timm/NAME, or my_models.py:build, a function in a file.
        size: of the images, in pixels: 224, or (height, width); by default the model's own.
        targets: some of onnx, tflite, coreml, executorch, torch, qnn.
        precision: some of fp32, fp16, int8, w8a16, w4.
        out: the folder that the export's own folder is made in.
        batch: images at a time, for targets that take more than one.
        rewrites: False leaves the graph as captured, to see the effect.
        progress: called with each step as it begins.
        weights: a checkpoint to load first, its size, labels and preprocessing included.
        calibrate: images to quantize with: a folder, digits, crops or hf:OWNER/NAME.
        num_classes, in_chans: of a model that is made by name; `in_chans` of a module is found.
        labels: names of the classes, or a text file with one a line.
        task: classification or tensors; by default as the outputs look.
        trained: False for a module with random weights: BatchNorm is then calibrated on photos.
        name: of the export; by default the model's.
        mean, std, crop_pct, interpolation: how photos are prepared for a module that does not say.

    Raises:
        UserError: the request can't be met; a previous export in that place is untouched.
        UserError, DeviceError: a target's converter or runtime failed on the model, or
        GateFailedError: an artifact was withheld. The other artifacts are written, and the error's
            attribute `result` has them.
    """
    label_names = (
        labels
        if labels is None or isinstance(labels, Path)
        else Path(labels)
        if isinstance(labels, (str, os.PathLike))
        else tuple(labels)
    )
    given = {} if calibrate is None else {"calibrate": os.fspath(calibrate)}
    request = ExportRequest(
        model=model,
        targets=tuple(choose_many("target", _joined(targets), target_names())),
        precisions=tuple(choose_many("precision", _joined(precision), precision_names())),
        out=Path(out),
        batch=batch,
        rewrites=rewrites,
        options=ModelOptions(
            size=parse_size(_size_text(size)) if size is not None else None,
            weights=Path(weights) if weights is not None else None,
            num_classes=num_classes,
            in_chans=in_chans,
            labels=label_names,
            task=task,
            trained=trained,
            name=name,
            mean=tuple(mean) if mean is not None else None,
            std=tuple(std) if std is not None else None,
            crop_pct=crop_pct,
            interpolation=interpolation,
            **given,
        ),
    )
    require_precisions(list(request.targets), list(request.precisions))
    exported = export_model(request, progress or (lambda step: None))
    try:
        exported.raise_on_failure()
    except LolvitError as error:
        error.result = exported
        raise
    return exported


def _joined(names: Iterable[str] | str) -> str:
    return names if isinstance(names, str) else ",".join(names)


def _size_text(size: int | tuple[int, int] | str) -> str:
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def export_model(
    request: ExportRequest, progress: Progress, lowerers: Lowerers | None = None
) -> Exported:
    """Write OUT/MODEL-HxW, with the artifacts that have passed their gates. `lowerers` are those of
    the request's targets, where the caller has started them already.

    Raises:
        UserError: the request can't be met; a previous export in that place is untouched.
    """
    plans = read_plans(request.plans, request.targets, request.precisions)
    _require_batch(request)
    target = request.out / _folder_name(request)
    if target.exists() and not (target / MANIFEST_NAME).exists():
        raise UserError(
            "exists and is no export", where=str(target), remedy="choose another --out folder"
        )
    with (
        _leaving_cores(),
        Verifiers(own=True) as verifiers,
        lowerers or Lowerers(request.targets) as lowering,
        _staged(target) as staging,
    ):
        progress("model")
        prepared = prepare(request.model, request.options)
        images = _images(request, prepared, progress)
        progress("rewrite")
        with quiet():
            job, records = _job(prepared, request, staging.folder)
        artifacts, failures = _lower_and_verify(job, lowering, verifiers, progress)
        if images is not None:
            artifacts = _quantize(job, artifacts, images, plans, verifiers, progress)
        kept, withheld = _separated(artifacts, request, staging.folder)
        weights = _save_model(job, staging.folder)
        manifest = _manifest(job, kept, records, weights)
        if kept:
            write_manifest(staging.folder, manifest)
            staging.keep = True
    return Exported(target, manifest, withheld, failures, prepared.notes)


def _require_batch(request: ExportRequest) -> None:
    """Refuse a batch where something takes one image at a time alone."""
    if request.batch == 1:
        return
    one_image = [name for name in request.targets if not find_target(name).batches]
    quantized = [name for name in request.targets if request.quantized(name)]
    if one_image or quantized:
        what = f"{one_image[0]} takes" if one_image else "quantized artifacts take"
        raise UserError(
            f"{what} one image at a time", where=f"--batch {request.batch}",
            remedy="leave out --batch, or the target or precision",
        )  # fmt: skip


def _folder_name(request: ExportRequest) -> str:
    """Return the name of the export's folder, e.g. lolvit_x-256x256."""
    height, width = own_size(request.model, request.options)
    name = export_name(request.model, request.options)
    batch = f"-batch{request.batch}" if request.batch > 1 else ""
    return f"{name}-{height}x{width}{batch}"


@dataclass
class _Staging:
    folder: Path
    keep: bool = False


class _NothingKeptError(Exception):
    """No artifact is to be written: what was staged goes."""


@contextmanager
def _staged(target: Path) -> Iterator[_Staging]:
    """Give a folder that takes the place of `target` if it is to be kept."""
    try:
        with staged_folder(target) as folder:
            staging = _Staging(folder)
            yield staging
            if not staging.keep:
                raise _NothingKeptError
    except _NothingKeptError:
        return


@contextmanager
def _leaving_cores() -> Iterator[None]:
    """Compute with half of the cores inside the block: child processes lower and verify meanwhile,
    and torch's threads wait for each other by spinning. With more threads than free cores, what
    takes 3 s by itself took 60."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Job:
    """What is lowered, from where and to where."""

    graph: GraphModule
    prepared: Prepared
    task: Task
    signature: Signature
    request: ExportRequest
    folder: Path

    def lowering(self, target: str) -> LoweringRequest:
        facts = find_target(target)
        bases = {facts.precisions[name].base for name in self.request.quantized(target)}
        return LoweringRequest(
            folder=self.folder,
            target=target,
            precisions=facts.to_lower(self.request.precisions),
            signature=self.signature,
            preprocessing=self.prepared.preprocessing,
            bases=tuple(sorted(bases)),
        )

    def forms(self, artifact: Artifact) -> list[Artifact]:
        """Return an artifact with what it is compiled to ahead of time: for no chip where it is
        lowered only to be quantized."""
        reference = find_target(artifact.format).forms
        if reference is None:
            return [artifact]
        wanted = artifact.precision in self.request.precisions
        function: Callable[..., list[Artifact]] = imported(reference)
        return function(artifact, self.folder, self.request.socs if wanted else ())


def _job(
    prepared: Prepared, request: ExportRequest, folder: Path
) -> tuple[_Job, tuple[RewriteRecord, ...]]:
    """Return the captured graph, statically rewritten unless switched off, with the records."""
    size, channels = prepared.preprocessing.size, prepared.preprocessing.channels
    model = reparameterize(prepared.model) if request.rewrites else prepared.model
    graph, records = capture(model, size, channels, request.batch), tuple[RewriteRecord, ...]()
    described = described_outputs(graph)
    if request.rewrites:
        graph, records = apply_all(STATIC_REWRITE, graph)
    task, outputs = task_of(prepared.task, described, prepared.labels, request.batch)
    image = TensorSpec(
        name=INPUT_NAME,
        shape=(request.batch, channels, *size),
        layout="NCHW",
        meaning="normalized",
    )
    signature = Signature(inputs=(image,), outputs=outputs)
    return _Job(graph, prepared, task, signature, request, folder), records


def task_of(
    name: str | None,
    outputs: Sequence[OutputDescription],
    labels: Sequence[str] | None,
    batch: int = 1,
) -> tuple[Task, tuple[TensorSpec, ...]]:
    """Return the task of a model and its signature's outputs: the task that was asked for, or else
    classification if the outputs look like it, or else tensors.

    Raises:
        UserError: an output has no batch axis, they are not those of the task, or there are more or
            fewer labels.
    """
    for output, shape, _ in outputs:
        if not shape or shape[0] != batch:
            raise UserError(
                f"its output '{output}' of shape {shape} has no batch axis of {batch}",
                remedy="return tensors whose first axis is the batch",
            )
    task = find_task(name or "classification")
    if name is None and not task.recognizes(outputs):
        task = find_task("tensors")
    if task.name == "classification" and [output[0] for output in outputs] == [ONLY_OUTPUT]:
        outputs = [("logits", *outputs[0][1:])]
    specs = specs_of(task, outputs)
    if task.name == "classification" and labels is not None and len(labels) != specs[0].shape[1]:
        raise UserError(
            f"{len(labels)} labels are given, the model has {specs[0].shape[1]} classes",
            remedy="give one label a class, in their order",
        )
    return task, specs


def _lower_and_verify(
    job: _Job, lowerers: Lowerers, verifiers: Verifiers, progress: Progress
) -> tuple[list[Artifact], dict[str, LolvitError]]:
    """Lower to each target; artifacts are verified in child processes meanwhile. Return them, and
    the failure of each target that has none: it stops no other."""
    evidence: list[Evidence] = []
    ready = threading.Event()

    def verified(lowered: list[Lowered], target: str) -> list[Artifact]:
        described = [_describe(item, target) for item in lowered]
        forms = [form for each in described if not _is_base(each) for form in job.forms(each)]
        given = job.signature, job.task, evidence[0]
        return [
            *(verifiers.verify(job.folder / form.path, form, *given) for form in forms),
            *filter(_is_base, described),  # nothing of it is shipped
        ]

    def beside(target: str, message: bytes) -> list[Artifact]:
        lowered = lowerers.lower_beside(message)
        ready.wait()
        return verified(lowered, target)

    # Left in this order, the child is ended before its thread is waited for.
    with ThreadPoolExecutor() as threads, lowerers:
        pending: dict[str, Future[list[Artifact]]] = {}
        failures: dict[str, LolvitError] = {}
        if lowerers.beside is not None:
            progress(f"lower to {lowerers.beside}")
            message = packed(job.graph, job.lowering(lowerers.beside))
            pending[lowerers.beside] = threads.submit(beside, lowerers.beside, message)
        # The child is the slowest: all that it doesn't wait for comes after it has begun.
        try:
            progress("load converters")
            with quiet():
                lowerers.load()
            for target in job.request.targets:
                verifiers.start(target)
            evidence.append(_photo_evidence(job))
        finally:  # its thread must not wait for ever
            ready.set()
        for target in lowerers.here:
            progress(f"lower to {target}")
            with _failure_of(target, failures), quiet():
                lowered = lowerers.lower(target, job.graph, job.lowering(target))
                pending[target] = threads.submit(verified, lowered, target)
        progress("verify on photos")
        artifacts: list[Artifact] = []
        for target, future in pending.items():
            with _failure_of(target, failures):
                artifacts += future.result()
    return sorted(artifacts, key=lambda a: job.request.targets.index(a.format)), failures


@contextmanager
def _failure_of(target: str, failures: dict[str, LolvitError]) -> Iterator[None]:
    """Note a failure of a target's converter or runtime; a bug of ours, and what concerns all
    targets (a full disk, Ctrl-C), passes."""
    try:
        yield
    except DeviceError as error:
        failures[target] = DeviceError(f"{target}: {error.what}", where=error.where)
    except Exception as error:
        reason = conversion_failure(error)
        if reason is None:
            raise
        failures[target] = UserError(f"{target}: its converter cannot convert the model: {reason}")


def _photo_evidence(job: _Job) -> Evidence:
    """Return the bundled photos, with what eager gives for them."""
    photos = verification_pixels(job.prepared.preprocessing)
    reference = Reference(job.prepared.model, job.signature)
    evidence = Evidence(reference, photos, job.prepared.preprocessing)
    assert evidence.references  # computed before threads share it
    return evidence


def _describe(lowered: Lowered, target: str) -> Artifact:
    return Artifact(
        path=lowered.path.name,
        format=target,
        container=find_target(target).container,
        precision=lowered.precision,
        sha256=sha256_of(lowered.path),
        bytes=size_of(lowered.path),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
    )


def _is_base(artifact: Artifact) -> bool:
    """Whether an artifact is there to be quantized alone."""
    return artifact.path.startswith(BASE_PREFIX)


def _separated(
    artifacts: Sequence[Artifact], request: ExportRequest, folder: Path
) -> tuple[list[Artifact], tuple[Artifact, ...]]:
    """Return the artifacts that passed their gates, and the others, whose files go."""
    if request.for_timing:
        return list(artifacts), ()
    withheld = tuple(artifact for artifact in artifacts if artifact.failed_gates())
    for artifact in withheld:
        remove(folder / artifact.path)
        if artifact.quantization is not None:
            remove(folder / artifact.quantization.plan)
    return [artifact for artifact in artifacts if artifact not in withheld], withheld


def _save_model(job: _Job, folder: Path) -> Weights:
    """Write what makes the eager model again: its state where its name makes the rest, or else the
    captured model itself, as a program."""
    prepared = job.prepared
    if prepared.rebuilt:
        path = folder / STATE_NAME
        config = {
            "model": prepared.name,
            "num_classes": int(prepared.model.num_classes),  # type: ignore[arg-type]
            "trained": prepared.trained,
            "preprocess": prepared.preprocessing.model_dump(),
            "labels": prepared.labels,
            "data": prepared.data,
        }
        save_checkpoint(prepared.model, path, config)
    else:
        from lolvit_export.verification.program import save_model

        path = folder / PROGRAM_NAME
        save_model(prepared.model, job.signature, path)
    return Weights(
        path=path.name, sha256=sha256_of(path), trained=prepared.trained, source=prepared.source
    )


def _manifest(
    job: _Job,
    artifacts: list[Artifact],
    records: tuple[RewriteRecord, ...],
    weights: Weights,
) -> Manifest:
    prepared, preprocessing = job.prepared, job.prepared.preprocessing
    return Manifest(
        model=prepared.name,
        task=job.task.name,
        params=parameters_of(prepared.model),
        macs=macs_of(prepared.model, preprocessing.size, preprocessing.channels),
        size=preprocessing.size,
        rewritten=job.request.rewrites,
        weights=weights,
        preprocessing=preprocessing,
        postprocessing=job.task.postprocessing(),
        labels=prepared.labels,
        signature=job.signature,
        artifacts=tuple(artifacts),
        rewrites=records,
        recommended=recommended(artifacts),
        tools=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _images(request: ExportRequest, prepared: Prepared, progress: Progress) -> Images | None:
    """Return what quantization is decided on, or None where nothing is quantized."""
    if not any(request.quantized(target) for target in request.targets):
        return None
    source = request.options.calibrate or prepared.data
    return open_images(source, prepared.preprocessing, prepared.labels, progress)


def _quantize(
    job: _Job,
    artifacts: Sequence[Artifact],
    images: Images,
    plans: Sequence[Plan],
    verifiers: Verifiers,
    progress: Progress,
) -> list[Artifact]:
    """Return the artifacts with the quantized ones, in the order of the request, and without those
    that were lowered only to be quantized; their files go too. What failed its gates is not
    quantized."""
    progress(f"eager PyTorch on {len(images.tuning) + len(images.held_out)} images")
    reference = Reference(job.prepared.model, job.signature)
    preprocessing, trained = job.prepared.preprocessing, job.prepared.trained
    quantization = QuantizationJob(
        folder=job.folder,
        signature=job.signature,
        task=job.task,
        images=images,
        preprocessing=preprocessing,
        tuning=Evidence(reference, images.tuning, preprocessing, trained=trained),
        held_out=Evidence(
            reference, images.held_out, preprocessing, labels=images.labels, trained=trained
        ),
        plans=plans,
        verifiers=verifiers,
    )
    result: list[Artifact] = []
    for name in job.request.targets:
        target = find_target(name)
        own = [artifact for artifact in artifacts if artifact.format == name]
        floats = [artifact for artifact in own if not _is_base(artifact)]
        if not own:  # the target failed
            continue
        bases = {artifact.precision: artifact for artifact in own if _is_base(artifact)}
        result += [each for each in floats if each.precision in job.request.precisions]
        for precision in job.request.quantized(name):
            wanted = target.precisions[precision].base
            whole = next(each for each in floats if each.precision == wanted)
            if whole.failed_gates() and not job.request.for_timing:
                progress(f"{whole.path} failed its gates: not quantized to {precision}")
                result += [whole] * (whole not in result)
                continue
            base = bases.get(wanted, whole)
            made = quantization.quantize(base, precision, progress, compared=whole)
            forms = [form for form in job.forms(made) if form.path != made.path]
            result += [made, *(quantization.verify(job.folder / f.path, f) for f in forms)]
        for each in own:
            if each not in result:
                remove(job.folder / each.path)
    return result


def tool_versions() -> dict[str, str]:
    """Return the versions of what takes part in an export, Python's included."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
