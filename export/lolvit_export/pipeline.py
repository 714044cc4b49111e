"""From a model's name to a folder of verified artifacts, or to nothing at all."""

from __future__ import annotations

import platform
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from torch.fx import GraphModule

from lolvit.artifact import (
    Artifact,
    Manifest,
    PassRecord,
    Weights,
    write_manifest,
)
from lolvit.errors import GateFailedError, UserError
from lolvit.files import sha256_of, size_of, staged_folder
from lolvit.models import macs_of, parameters_of
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import default_size
from lolvit.models.names import folder_name
from lolvit.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.lowering import LOWERINGS, Lower, Lowered, LoweringRequest, find_lowering
from lolvit_export.passes import STATIC_REWRITE, apply_all
from lolvit_export.photos import verification_pixels
from lolvit_export.prepare import Prepared, prepare
from lolvit_export.quiet import quiet
from lolvit_export.verify import eager_logits, verify

Progress = Callable[[str], None]

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
    "tensorflow",
    "executorch",
)


# TensorFlow takes longest to start in its child process, so what it verifies is lowered first.
_SLOWEST_TO_VERIFY = ("tflite", "coreml", "executorch", "torch", "onnx")
_VERIFIERS = 2


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to."""

    model: str
    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    size: tuple[int, int] | None  # None: the model's own
    out: Path
    weights: Path | None = None
    calibrate: Path | None = None
    num_classes: int | None = None
    labels: Path | None = None
    rewrites: bool = True


def export_model(request: ExportRequest, progress: Progress) -> tuple[Path, Manifest]:
    """Write OUT/MODEL-HxW whole, after every artifact in it has passed its gates.

    Raises:
        UserError: the request cannot be met; GateFailedError: an artifact is not equal enough to
            eager. Either way a previous export in that place is untouched.
    """
    size = request.size or default_size(request.model)
    target = request.out / folder_name(request.model, size)
    if target.exists() and not (target / "manifest.json").exists():
        raise UserError(
            "exists and is no export", where=str(target), remedy="choose another --out folder"
        )
    with staged_folder(target) as folder:
        progress("load converters")
        with (
            quiet()
        ):  # all before any thread starts: coremltools hides modules while it is imported
            lowerings = {format: find_lowering(format) for format in request.formats}
        progress("model")
        prepared = prepare(
            request.model,
            size,
            request.weights,
            request.calibrate,
            request.num_classes,
            request.labels,
        )
        progress("rewrite")
        with quiet():
            graph, passes = rewritten(prepared, rewrites=request.rewrites)
        artifacts = _lower_and_verify(graph, prepared, request, lowerings, folder, progress)
        manifest = _manifest(prepared, request, artifacts, passes, _save_weights(prepared, folder))
        _refuse_failed_gates(manifest, target)
        write_manifest(folder, manifest)
    return target, manifest


def rewritten(prepared: Prepared, *, rewrites: bool) -> tuple[GraphModule, tuple[PassRecord, ...]]:
    """Return the captured graph, statically rewritten unless switched off, and the reports."""
    size = prepared.preprocess.size
    if not rewrites:
        return capture(prepared.model, size), ()
    graph = capture(reparameterize(prepared.model), size)
    return apply_all(STATIC_REWRITE, graph)


def _lower_and_verify(
    graph: GraphModule,
    prepared: Prepared,
    request: ExportRequest,
    lowerings: dict[str, Lower],
    folder: Path,
    progress: Progress,
) -> list[Artifact]:
    """Lower to each format; artifacts are verified in child processes meanwhile."""
    photos = verification_pixels(prepared.preprocess)
    references = eager_logits(prepared.model, photos, prepared.preprocess)
    with ThreadPoolExecutor(_VERIFIERS) as verifiers:
        pending: list[Future[Artifact]] = []
        for format in sorted(request.formats, key=_SLOWEST_TO_VERIFY.index):
            progress(f"lower to {format}")
            wanted = tuple(p for p in request.precisions if p in LOWERINGS[format][1])
            with quiet():
                lowered = lowerings[format](
                    graph, LoweringRequest(folder, wanted, prepared.preprocess)
                )
            for artifact in (_describe(item, format) for item in lowered):
                path = folder / artifact.path
                arguments = (path, artifact, photos, references, prepared.preprocess)
                pending.append(verifiers.submit(verify, *arguments))
        progress("verify on photos")
        verified = [future.result() for future in pending]
    return sorted(verified, key=lambda a: request.formats.index(a.format))


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
        tools=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _refuse_failed_gates(manifest: Manifest, target: Path) -> None:
    failed = manifest.failed_gates()
    if failed:
        raise GateFailedError(
            f"verification failed: {'; '.join(failed)}",
            where=str(target),
            remedy="nothing was written",
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
