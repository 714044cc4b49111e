"""From a model's name to a folder of verified artifacts, or to nothing at all."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch.fx import GraphModule

from lolvit.errors import GateFailedError, UserError
from lolvit.files import remove, sha256_of, size_of, staged_folder
from lolvit.manifest import (
    Artifact,
    Manifest,
    PassRecord,
    Precision,
    Weights,
    write_manifest,
)
from lolvit.models import macs_of, parameters_of
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import default_size
from lolvit.models.loading import recorded_size
from lolvit.models.names import folder_name
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.photos import verification_pixels
from lolvit_export.prepare import Prepared, prepare
from lolvit_export.quantization.images import Images, open_images
from lolvit_export.quantization.job import QuantizationJob, quantized_precisions, read_plans
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.precisions import QUANTIZED, base_precision
from lolvit_export.quantization.recommend import recommended
from lolvit_export.quiet import quiet
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from lolvit_export.targets.lowerers import Lowerers, packed
from lolvit_export.targets.lowering import LOWERINGS, Lowered, LoweringRequest
from lolvit_export.verification.verifiers import Logits, Verifiers, eager_logits
from lolvit_runtimes.preprocessing import Pixels
from lolvit_runtimes.qnn_socs import Soc

Progress = Callable[[str], None]
Verify = Callable[[Path, Artifact], Artifact]

_AFTER_QUANTIZING = (
    "nothing was written: quantize trained weights (--weights), calibrated on the images that they"
    " were trained on (--calibrate); if they are, train on with --recipe int8"
)
_AFTER_QUANTIZING_RANDOM = (
    "nothing was written: random weights lose more in few bits than trained ones; quantize those"
    " (--weights), or, for artifacts that are timed and no more, add --for-timing"
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

    model: str
    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    size: tuple[int, int] | None  # None: the checkpoint's, or else the model's own
    out: Path
    weights: Path | None = None
    calibrate: str | None = None  # a data set or a folder of photos
    num_classes: int | None = None
    labels: Path | None = None
    rewrites: bool = True
    plans: tuple[Path, ...] = ()  # of quantized artifacts: what to do instead of a search
    socs: tuple[Soc, ...] = ()  # what qnn artifacts are compiled for
    for_timing: bool = False  # of untrained weights: artifacts whatever their gates say

    def quantized(self, format: str) -> list[Precision]:
        """Return the precisions that a format is quantized to."""
        return quantized_precisions(format, self.precisions)

    def lowered(self, format: str) -> tuple[str, ...]:
        """Return the precisions that a format is lowered to, the one that it is quantized from
        among them."""
        base = {base_precision(format)} if self.quantized(format) else set[str]()
        wanted = base.union(self.precisions)
        return tuple(p for p in LOWERINGS[format][1] if p in wanted)


def export_model(
    request: ExportRequest, progress: Progress, lowerers: Lowerers | None = None
) -> tuple[Path, Manifest]:
    """Write OUT/MODEL-HxW whole, after every artifact in it has passed its gates. `lowerers` are
    those of the request's formats, where the caller has started them already.

    Raises:
        UserError: the request cannot be met; GateFailedError: an artifact is not equal enough to
            eager. Either way a previous export in that place is untouched.
    """
    plans = read_plans(request.plans, request.formats, request.precisions)
    size = request.size or _own_size(request)
    target = request.out / folder_name(request.model, size)
    if target.exists() and not (target / "manifest.json").exists():
        raise UserError(
            "exists and is no export", where=str(target), remedy="choose another --out folder"
        )
    with (
        _leaving_cores(),
        staged_folder(target) as folder,
        Verifiers(own=True) as verifiers,
        lowerers or Lowerers(request.formats) as lowering,
    ):
        progress("model")
        prepared = prepare(
            request.model,
            size,
            request.weights,
            request.calibrate,
            request.num_classes,
            request.labels,
        )
        images = _images(request, prepared)
        progress("rewrite")
        with quiet():
            graph, passes = rewritten(prepared, rewrites=request.rewrites)
        job = _Job(graph, prepared, request, folder)
        artifacts = _lower_and_verify(job, lowering, verifiers, progress)
        if images is not None:
            _refuse_failed_gates(request, artifacts, target)
            artifacts = _quantize(job, artifacts, images, plans, verifiers, progress)
        manifest = _manifest(prepared, request, artifacts, passes, _save_weights(prepared, folder))
        _refuse_failed_gates(request, manifest.artifacts, target)
        write_manifest(folder, manifest)
    return target, manifest


def _own_size(request: ExportRequest) -> tuple[int, int]:
    """Return the size that the checkpoint was trained for, or else the model was designed for."""
    size = recorded_size(request.weights) if request.weights is not None else None
    return size or default_size(request.model)


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


def rewritten(prepared: Prepared, *, rewrites: bool) -> tuple[GraphModule, tuple[PassRecord, ...]]:
    """Return the captured graph, statically rewritten unless switched off, and the reports."""
    size = prepared.preprocess.size
    if not rewrites:
        return capture(prepared.model, size), ()
    graph = capture(reparameterize(prepared.model), size)
    return apply_all(STATIC_REWRITE, graph)


@dataclass(frozen=True)
class _Job:
    """What is lowered, from where and to where."""

    graph: GraphModule
    prepared: Prepared
    request: ExportRequest
    folder: Path

    def lowering(self, format: str) -> LoweringRequest:
        wanted = self.request.lowered(format)
        return LoweringRequest(self.folder, wanted, self.prepared.preprocess)

    def socs(self, precision: str) -> tuple[Soc, ...]:
        """Return the chips to compile for in a precision: none where it is lowered only to be
        quantized."""
        return self.request.socs if precision in self.request.precisions else ()


def _lower_and_verify(
    job: _Job, lowerers: Lowerers, verifiers: Verifiers, progress: Progress
) -> list[Artifact]:
    """Lower to each format; artifacts are verified in child processes meanwhile."""
    preprocess = job.prepared.preprocess
    photos: list[Pixels] = []
    references: list[Logits] = []
    ready = threading.Event()

    def verified(lowered: list[Lowered], format: str) -> list[Artifact]:
        def verify(path: Path, artifact: Artifact) -> Artifact:
            return verifiers.verify(path, artifact, photos, references, preprocess)

        described = [_describe(item, format) for item in lowered]
        return [made for artifact in described for made in _all_forms(artifact, job, verify)]

    def beside(format: str, message: bytes) -> list[Artifact]:
        lowered = lowerers.lower_beside(message)
        ready.wait()
        return verified(lowered, format)

    # Left in this order, the child is ended before its thread is waited for.
    with ThreadPoolExecutor() as threads, lowerers:
        pending: list[Future[list[Artifact]]] = []
        if lowerers.beside is not None:
            progress(f"lower to {lowerers.beside}")
            message = packed(job.graph, job.lowering(lowerers.beside))
            pending.append(threads.submit(beside, lowerers.beside, message))
        # The child is the slowest: all that it doesn't wait for comes after it has begun.
        try:
            progress("load converters")
            with quiet():
                lowerers.load()
            for format in job.request.formats:
                verifiers.start(format)
            photos += verification_pixels(preprocess)
            references += eager_logits(job.prepared.model, photos, preprocess)
        finally:  # its thread must not wait for ever
            ready.set()
        for format in lowerers.here:
            progress(f"lower to {format}")
            with quiet():
                lowered = lowerers.lower(format, job.graph, job.lowering(format))
            pending.append(threads.submit(verified, lowered, format))
        progress("verify on photos")
        artifacts = [artifact for future in pending for artifact in future.result()]
    return sorted(artifacts, key=lambda a: job.request.formats.index(a.format))


def _all_forms(artifact: Artifact, job: _Job, verify: Verify) -> list[Artifact]:
    """Return an artifact, verified, and what it is compiled to ahead of time, verified too."""
    if artifact.format != "qnn":
        return [verify(job.folder / artifact.path, artifact)]
    from lolvit_export.targets.qnn_contexts import compile_for, portable  # Qualcomm's compiler

    source = portable(artifact)
    compiled = [compile_for(soc, job.folder, source) for soc in job.socs(artifact.precision)]
    return [verify(job.folder / each.path, each) for each in (source, *compiled)]


def _describe(lowered: Lowered, format: str) -> Artifact:
    return Artifact.model_validate(
        {
            "path": lowered.path.name,
            "format": format,
            "precision": lowered.precision,
            "sha256": sha256_of(lowered.path),
            "bytes": size_of(lowered.path),
            "input": lowered.input,
            "output": lowered.output,
        }
    )


def _save_weights(prepared: Prepared, folder: Path) -> Weights:
    path = folder / "weights.safetensors"
    config = {
        "model": prepared.name,
        "num_classes": prepared.num_classes,
        "trained": prepared.trained,
        "preprocess": prepared.preprocess.model_dump(),
        "labels": prepared.labels,
        "data": prepared.data,
    }
    save_checkpoint(prepared.model, path, config)
    return Weights(sha256=sha256_of(path), trained=prepared.trained, source=prepared.source)


def _manifest(
    prepared: Prepared,
    request: ExportRequest,
    artifacts: list[Artifact],
    passes: tuple[PassRecord, ...],
    weights: Weights,
) -> Manifest:
    return Manifest(
        model=prepared.name,
        params=parameters_of(prepared.model),
        macs=macs_of(prepared.model, prepared.preprocess.size),
        num_classes=prepared.num_classes,
        size=prepared.preprocess.size,
        rewrites=request.rewrites,
        weights=weights,
        preprocess=prepared.preprocess,
        labels=prepared.labels,
        artifacts=tuple(artifacts),
        passes=passes,
        recommended=recommended(artifacts),
        tools=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _images(request: ExportRequest, prepared: Prepared) -> Images | None:
    """Return what quantization is decided on, or None where nothing is quantized."""
    if not any(request.quantized(format) for format in request.formats):
        return None
    source = request.calibrate or prepared.data
    return open_images(source, prepared.preprocess, prepared.labels)


def _quantize(
    job: _Job,
    artifacts: Sequence[Artifact],
    images: Images,
    plans: Sequence[Plan],
    verifiers: Verifiers,
    progress: Progress,
) -> list[Artifact]:
    """Return the artifacts with the quantized ones, in the order of the request, and without the
    fp32 ones that nobody asked for; their files go too."""
    preprocess, model = job.prepared.preprocess, job.prepared.model
    progress(f"eager PyTorch on {len(images.tuning) + len(images.held_out)} images")
    quantization = QuantizationJob(
        folder=job.folder,
        images=images,
        preprocess=preprocess,
        tuning=eager_logits(model, images.tuning, preprocess),
        held_out=eager_logits(model, images.held_out, preprocess),
        plans=plans,
        verifiers=verifiers,
        trained=job.prepared.trained,
    )
    result: list[Artifact] = []
    for format in job.request.formats:
        floats = [artifact for artifact in artifacts if artifact.format == format]
        wanted = base_precision(format)
        base = next((artifact for artifact in floats if artifact.precision == wanted), None)
        result += [artifact for artifact in floats if artifact.precision in job.request.precisions]
        for precision in job.request.quantized(format):
            assert base is not None
            made = quantization.quantize(base, precision, progress)
            result += [made, *_compiled(made, job, quantization)]
        if base is not None and base not in result:
            remove(job.folder / base.path)
    return result


def _compiled(made: Artifact, job: _Job, quantization: QuantizationJob) -> list[Artifact]:
    """Return what a quantized artifact is compiled to ahead of time, verified."""
    if made.format != "qnn":
        return []
    from lolvit_export.targets.qnn_contexts import compile_for  # Qualcomm's compiler

    compiled = [compile_for(soc, job.folder, made) for soc in job.request.socs]
    return [quantization.verify(job.folder / each.path, each) for each in compiled]


def _refuse_failed_gates(
    request: ExportRequest, artifacts: Sequence[Artifact], target: Path
) -> None:
    failed = [line for artifact in artifacts for line in artifact.failed_gates()]
    if not failed or request.for_timing:
        return
    remedy = "nothing was written"
    if any(a.precision in QUANTIZED and a.failed_gates() for a in artifacts):
        remedy = _AFTER_QUANTIZING if request.weights else _AFTER_QUANTIZING_RANDOM
    raise GateFailedError(
        f"verification failed: {'; '.join(failed)}", where=str(target), remedy=remedy
    )


def tool_versions() -> dict[str, str]:
    """Return the versions of what takes part in an export, Python's included."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
