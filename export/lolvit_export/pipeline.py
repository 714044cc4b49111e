"""Export a model to a folder of verified artifacts: prepare, rewrite, lower, verify, quantize."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit.files import remove, staged_folder
from lolvit.manifest import MANIFEST_NAME, Artifact, Manifest, write_manifest
from lolvit.output import Finished
from lolvit.tasks.detection import DetectionTask
from lolvit_export.export_job import ExportJob, export_job
from lolvit_export.export_manifest import manifest_of, save_weights
from lolvit_export.lowering.failures import conversion_failure
from lolvit_export.lowering.lowerers import Lowerers, packed
from lolvit_export.lowering.request import BASE_PREFIX, Lowered, as_artifact, is_base
from lolvit_export.prepare import export_name, prepare, resolve_size
from lolvit_export.prepared import ModelOptions, Prepared
from lolvit_export.quantization.images import Images, open_images
from lolvit_export.quantization.job import QuantizationJob, read_plans
from lolvit_export.quantization.plan import Plan, plan_path
from lolvit_export.quiet import quiet
from lolvit_export.request import ExportRequest, ExportResult
from lolvit_export.suppression import SUPPRESSION_FORMATS, Suppression
from lolvit_export.targets import find_target
from lolvit_export.verification.reference import Reference, ReferenceData
from lolvit_export.verification.verifiers import Verifiers

Progress = Callable[[str], None]

CONSTANT = (
    "its outputs are the same for every photo, so that verification shows nothing: load trained"
    " weights, or initialize its last layer with other values than zero"
)
FAILED_PREFIX = "FAILED-"  # of a withheld artifact that is kept


def export_model(
    request: ExportRequest, progress: Progress, lowerers: Lowerers | None = None
) -> ExportResult:
    """Write OUT/MODEL-HxW with the artifacts that passed their gates. `lowerers` are those of the
    request's targets, if the caller has started them already.

    Raises:
        UserError: the request is invalid; a previous export in the folder is untouched.
    """
    plans = read_plans(request.plans, request.targets, request.precisions)
    _require_batch(request)
    target = _target_folder(request)
    with (
        _leaving_cores(),
        Verifiers(own=True) as verifiers,
        lowerers or Lowerers(request.targets) as lowering,
        staged_folder(target) as staging,
    ):
        progress("prepare the model")
        prepared = prepare(request.model, request.options)
        _check_suppression(request, prepared)
        images = _images(request, prepared, progress)
        progress("capture and rewrite the graph")
        with quiet():
            job, records = export_job(prepared, request, staging)
        artifacts, failures = _lower_and_verify(job, lowering, verifiers, progress)
        if images is not None:
            quantization = _quantization(job, images, plans, verifiers)
            artifacts = _quantize(job, artifacts, quantization, failures, progress)
        _remove_failed(staging, artifacts, failures)
        kept, withheld = _split_withheld(artifacts, request, staging)
        suppressed, unequal = _with_suppression(job, kept) if request.nms else ((), {})
        with quiet():
            weights = save_weights(job, staging)
        manifest = manifest_of(job, kept, records, weights)
        if kept or (withheld and request.keep_failed):
            write_manifest(staging, manifest)
        else:
            shutil.rmtree(staging)  # a previous export stays
    failed_files = [f"{FAILED_PREFIX}{each.path}" for each in withheld if request.keep_failed]
    return ExportResult(
        target, manifest, withheld, {**failures, **unequal}, _notes(job, manifest),
        tuple(failed_files), tuple(suppressed),
    )  # fmt: skip


def _target_folder(request: ExportRequest) -> Path:
    """Return the folder that is written.

    Raises:
        UserError: there is something else at its place.
    """
    target = request.out / folder_name(request.model, request.options, request.batch)
    if target.exists() and not (target / MANIFEST_NAME).exists():
        raise UserError(
            "exists and is not an export folder",
            where=str(target),
            remedy="choose another --out folder",
        )
    return target


def _notes(job: ExportJob, manifest: Manifest) -> tuple[str, ...]:
    """Return the lines that are printed with the result."""
    verified_on = job.verification_images.note
    images = (verified_on,) if verified_on is not None else ()
    constant = (CONSTANT,) if job.reference_data.is_constant else ()
    return (*job.prepared.notes, *_unused_labels(job.request, manifest), *images, *constant)


def _unused_labels(request: ExportRequest, manifest: Manifest) -> tuple[str, ...]:
    """Return a note where labels were given for a model that turned out to be no classifier."""
    options = request.options
    if options.labels is None or options.task is not None or manifest.task != "tensors":
        return ()
    shapes = [f"{o.name} {'x'.join(map(str, o.shape))}" for o in manifest.signature.outputs]
    return (
        f"its outputs ({', '.join(shapes)}) are not those of a classifier, one float tensor of"
        " shape (batch, classes): predictions are arrays, and the labels are not used; for ranked"
        " classes, return the logits alone",
    )


def _require_batch(request: ExportRequest) -> None:
    """Check that all targets and precisions support the batch size.

    Raises:
        UserError: one supports batch size 1 only.
    """
    if request.batch == 1:
        return
    one_image = [name for name in request.targets if not find_target(name).batches]
    quantized = [name for name in request.targets if request.quantized(name)]
    if one_image or quantized:
        what = f"target {one_image[0]} supports" if one_image else "quantized artifacts support"
        raise UserError(
            f"{what} batch size 1 only", where=f"--batch {request.batch}",
            remedy="leave out --batch, or the target or precision",
        )  # fmt: skip


def _check_suppression(request: ExportRequest, prepared: Prepared) -> None:
    """Check that suppression in the graph is asked of a detector, in a format that has it.

    Raises:
        UserError: it is not.
    """
    if not request.nms:
        return
    if prepared.task != "detection":
        raise UserError("--nms is for detection", where=prepared.name, remedy="leave it out")
    if request.batch > 1 or not set(SUPPRESSION_FORMATS) & set(request.targets):
        raise UserError(
            f"--nms needs batch size 1, and {' or '.join(SUPPRESSION_FORMATS)}",
            remedy="add --to onnx",
        )


def folder_name(model: str | nn.Module, options: ModelOptions, batch: int = 1) -> str:
    """Return the name of the export's folder, e.g. lolvit_x-256x256."""
    height, width = resolve_size(model, options)
    suffix = f"-batch{batch}" if batch > 1 else ""
    return f"{export_name(model, options)}-{height}x{width}{suffix}"


@contextmanager
def _leaving_cores() -> Iterator[None]:
    """Limit torch to half of its threads inside the block.

    Child processes lower and verify at the same time, and torch's threads spin while they wait:
    with more threads than free cores, a step of 3 s took 60 s.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _lower_and_verify(
    job: ExportJob, lowerers: Lowerers, verifiers: Verifiers, progress: Progress
) -> tuple[list[Artifact], dict[str, LolvitError]]:
    """Lower to each target, and verify each artifact in child processes once it is written. Return
    the artifacts, and the failure of each target without any: the other targets go on."""
    data: list[ReferenceData] = []
    ready = threading.Event()

    def verified(lowered: list[Lowered], target: str) -> list[Artifact]:
        return _verified(job, verifiers, data[0], [as_artifact(item, target) for item in lowered])

    def beside(target: str, message: bytes) -> list[Artifact]:
        lowered = lowerers.lower_beside(message)
        ready.wait()
        return verified(lowered, target)

    # Exited in this order, the child process ends before its thread is joined.
    with ThreadPoolExecutor() as threads, lowerers:
        pending: dict[str, Future[list[Artifact]]] = {}
        failures: dict[str, LolvitError] = {}
        if lowerers.beside is not None:
            progress(f"lower to {lowerers.beside}")
            message = packed(job.graph, job.lowering(lowerers.beside))
            pending[lowerers.beside] = threads.submit(beside, lowerers.beside, message)
        # The child takes longest: everything that it does not need runs after it has started.
        try:
            progress("load the converters")
            with quiet():
                lowerers.load()
            for target in job.request.targets:
                verifiers.start(target)
            data.append(job.reference_data)
        finally:  # otherwise its thread would wait forever
            ready.set()
        for target in lowerers.here:
            progress(f"lower to {target}")
            with _collect_failure(target, failures), quiet():
                lowered = lowerers.lower(target, job.graph, job.lowering(target))
                pending[target] = threads.submit(verified, lowered, target)
        progress(f"verify on {job.verification_images.described}")
        artifacts: list[Artifact] = []
        for target, future in pending.items():
            with _collect_failure(target, failures):
                artifacts += future.result()
    return sorted(artifacts, key=lambda a: job.request.targets.index(a.format)), failures


def _verified(
    job: ExportJob, verifiers: Verifiers, data: ReferenceData, lowered: Sequence[Artifact]
) -> list[Artifact]:
    """Return the artifacts of one target, and what they are compiled to, with their gates."""
    variants = [
        variant
        for artifact in lowered
        if not is_base(artifact)
        for variant in job.compiled_variants(artifact)
    ]
    given = job.signature, job.task, data
    return [
        *(verifiers.verify(job.folder / each.path, each, *given) for each in variants),
        *filter(is_base, lowered),  # not shipped, so not verified
    ]


@contextmanager
def _collect_failure(target: str, failures: dict[str, LolvitError]) -> Iterator[None]:
    """Record a failure of a target's converter or runtime. Bugs of this package, and errors that
    concern all targets (a full disk, Ctrl-C), propagate."""
    try:
        yield
    except DeviceError as error:
        failures[target] = DeviceError(f"{target}: {error.what}", where=error.where)
    except Exception as error:
        reason = conversion_failure(error)
        if reason is None:
            raise
        failures[target] = UserError(f"{target}: its converter cannot convert the model: {reason}")


def _remove_failed(folder: Path, artifacts: Sequence[Artifact], failures: Collection[str]) -> None:
    """Remove what targets that failed have written before: nothing unverified is left."""
    kept = {folder / name for name in {each.path for each in artifacts} | _plans(artifacts)}
    for target in map(find_target, failures):
        for path in (folder / target.file_name(precision) for precision in target.precisions):
            for written in (path, path.with_name(f"{BASE_PREFIX}{path.name}"), plan_path(path)):
                if written.exists() and written not in kept:
                    remove(written)


def _split_withheld(
    artifacts: Sequence[Artifact], request: ExportRequest, folder: Path
) -> tuple[list[Artifact], tuple[Artifact, ...]]:
    """Return the artifacts that passed their gates, and the withheld ones, whose files are removed,
    or renamed to FAILED-… where the request keeps them."""
    if request.for_timing:
        return list(artifacts), ()
    withheld = tuple(artifact for artifact in artifacts if artifact.failed_gates())
    kept = [artifact for artifact in artifacts if artifact not in withheld]
    for artifact in withheld:
        if request.keep_failed:
            (folder / artifact.path).rename(folder / f"{FAILED_PREFIX}{artifact.path}")
        else:
            remove(folder / artifact.path)
    for plan in _plans(withheld) - _plans(kept):
        remove(folder / plan)
    return kept, withheld


def _with_suppression(
    job: ExportJob, artifacts: Sequence[Artifact]
) -> tuple[Sequence[str], Mapping[str, LolvitError]]:
    """Write detectors with non-maximum suppression beside those without; return their names, and
    the failures by artifact."""
    assert isinstance(job.task, DetectionTask)
    suppression = Suppression(
        job.folder, job.graph, job.signature, job.prepared.preprocessing, job.task,
        job.prepared.labels, job.verification_images.pixels,
    )  # fmt: skip
    with quiet():
        return suppression.write(artifacts)


def _plans(artifacts: Sequence[Artifact]) -> set[str]:
    """Return the plans of artifacts; what was compiled from one has the same as that."""
    return {each.quantization.plan for each in artifacts if each.quantization is not None}


def _images(request: ExportRequest, prepared: Prepared, progress: Progress) -> Images | None:
    """Return the tuning and held-out images of quantization, or None if nothing is quantized."""
    if not any(request.quantized(target) for target in request.targets):
        return None
    source = request.options.calibrate or prepared.data
    progress(f"read the images of {source or 'the package'}")
    return open_images(
        source,
        prepared.preprocessing,
        prepared.labels,
        lambda note: progress(Finished(note)),
        task=prepared.task,
    )


def _quantize(
    job: ExportJob,
    artifacts: Sequence[Artifact],
    quantization: QuantizationJob,
    failures: dict[str, LolvitError],
    progress: Progress,
) -> list[Artifact]:
    """Quantize, and return all artifacts in the order of the request; record why one was not made,
    by its target.

    Artifacts that were lowered only to be quantized from are dropped, with their files. An artifact
    that failed its gates is not quantized.
    """
    images = quantization.images
    progress(f"eager PyTorch on {len(images.tuning) + len(images.held_out)} images")
    result: list[Artifact] = []
    for name in job.request.targets:
        target = find_target(name)
        own = [artifact for artifact in artifacts if artifact.format == name]
        floats = [artifact for artifact in own if not is_base(artifact)]
        if not own:  # the target failed
            continue
        bases = {artifact.precision: artifact for artifact in own if is_base(artifact)}
        result += [each for each in floats if each.precision in job.request.precisions]
        for precision in job.request.quantized(name):
            wanted = target.precisions[precision].base
            whole = next(each for each in floats if each.precision == wanted)
            if whole.failed_gates() and not job.request.for_timing:
                failed = f"{whole.path} failed its gates: not quantized to {precision}"
                progress(Finished(failed))
                result += [whole] * (whole not in result)
                continue
            base = bases.get(wanted, whole)
            with _collect_failure(name, failures):
                made = quantization.quantize(base, precision, progress, compared=whole)
                compiled = [each for each in job.compiled_variants(made) if each.path != made.path]
                result += [made, *(quantization.verify(job.folder / c.path, c) for c in compiled)]
        for each in own:
            if each not in result:
                remove(job.folder / each.path)
    return result


def _quantization(
    job: ExportJob, images: Images, plans: Sequence[Plan], verifiers: Verifiers
) -> QuantizationJob:
    """Return what all quantized artifacts share."""
    reference = Reference(job.prepared.exported, job.signature, job.prepared.source)
    preprocessing, trained = job.prepared.preprocessing, job.prepared.trained
    return QuantizationJob(
        folder=job.folder,
        signature=job.signature,
        task=job.task,
        images=images,
        preprocessing=preprocessing,
        tuning=ReferenceData(
            reference, images.tuning, preprocessing, truth=images.tuning_truth, trained=trained
        ),
        held_out=ReferenceData(
            reference, images.held_out, preprocessing, truth=images.truth, trained=trained
        ),
        plans=plans,
        verifiers=verifiers,
        for_timing=job.request.for_timing,
    )
