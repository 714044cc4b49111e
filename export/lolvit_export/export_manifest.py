"""What an export writes beside its artifacts: the manifest, and what restores the eager model."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lolvit.files import sha256_of
from lolvit.manifest import Artifact, Manifest, RewriteRecord, Weights
from lolvit.models import macs_of, parameters_of
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import task_of_model
from lolvit_export.export_job import ExportJob
from lolvit_export.quantization.recommend import recommended

STATE_NAME, PROGRAM_NAME = "weights.safetensors", "model.pt2"
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
    "coreai-core",
    "coreai-torch",
)


def save_weights(job: ExportJob, folder: Path) -> Weights:
    """Write what restores the eager model: its state dict where `create_model` can create it by
    name, else a torch.export program."""
    prepared = job.prepared
    if prepared.rebuilt:
        path = folder / STATE_NAME
        config = {
            "model": prepared.name,
            "task": task_of_model(prepared.model),
            "num_classes": int(prepared.model.num_classes),  # type: ignore[arg-type]
            "trained": prepared.trained,
            "preprocess": prepared.preprocessing.model_dump(),
            "labels": prepared.labels,
            "colors": prepared.colors,
            "data": prepared.data,
            "model_args": dict(prepared.model_args),
        }
        save_checkpoint(prepared.model, path, config)
    else:
        from lolvit_export.verification.program import save_model

        path = folder / PROGRAM_NAME
        save_model(prepared.exported, job.signature, path, job.program)
    return Weights(
        path=path.name, sha256=sha256_of(path), trained=prepared.trained, source=prepared.source
    )


def manifest_of(
    job: ExportJob,
    artifacts: Sequence[Artifact],
    records: tuple[RewriteRecord, ...],
    weights: Weights,
) -> Manifest:
    """Return the manifest of artifacts that are written, with the rewrites' `records`."""
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
        colors=prepared.colors,
        signature=job.signature,
        artifacts=tuple(artifacts),
        rewrites=records,
        recommended=recommended(artifacts),
        tools=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def tool_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an export uses."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
