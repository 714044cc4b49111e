"""What an export lowers and verifies: the captured graph with its task and signature."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.errors import UserError
from lolvit.manifest import Artifact, RewriteRecord, Signature, TensorSpec
from lolvit.models.loading import number_of_classes
from lolvit.models.reparam import METHODS, reparameterize
from lolvit.tasks import Task, find_task, specs_of
from lolvit.tasks.segmentation import CLASS_MAP
from lolvit.tasks.tensors import FEATURES
from lolvit_export.capture import (
    INPUT_NAME,
    ONLY_OUTPUT,
    ChosenOutputs,
    OutputDescription,
    capture_program,
    described_outputs,
    example_image,
    repeated_outputs,
    run_once,
)
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.prepared import Prepared
from lolvit_export.request import ExportRequest
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from lolvit_export.targets import find_target
from lolvit_export.verification.images import VerificationImages, verification_images
from lolvit_export.verification.reference import Reference, ReferenceData
from lolvit_runtimes.snr import snr_db

# Of outputs in float32 with merged branches: 13 of timm's networks with such, random weights, have
# 122 dB or more.
LEAST_MERGED_DB = 60.0


@dataclass(frozen=True)
class ExportJob:
    """The captured graph with everything that lowering and verification need."""

    graph: GraphModule
    prepared: Prepared
    task: Task
    signature: Signature
    request: ExportRequest
    folder: Path
    program: ExportedProgram | None  # of the prepared model; None: of one with merged branches

    @cached_property
    def verification_images(self) -> VerificationImages:
        """The images that float artifacts are verified on."""
        prepared = self.prepared
        return verification_images(prepared.preprocessing, self.task.name, prepared.data)

    @cached_property
    def reference_data(self) -> ReferenceData:
        """These images with eager PyTorch's outputs for them."""
        reference = Reference(self.prepared.exported, self.signature, self.prepared.source)
        images = self.verification_images.pixels
        data = ReferenceData(reference, images, self.prepared.preprocessing)
        assert data.references  # computed before threads share it
        return data

    def lowering(self, target: str) -> LoweringRequest:
        """Return the lowering request of one target."""
        spec = find_target(target)
        bases = {spec.precisions[name].base for name in self.request.quantized(target)}
        return LoweringRequest(
            folder=self.folder,
            target=target,
            precisions=spec.to_lower(self.request.precisions),
            signature=self.signature,
            preprocessing=self.prepared.preprocessing,
            bases=tuple(sorted(bases)),
        )

    def compiled_variants(self, artifact: Artifact) -> list[Artifact]:
        """Return an artifact and what it is compiled to ahead of time. One that was lowered only
        to be quantized is compiled for no SoC."""
        reference = find_target(artifact.format).compiled_variants
        if reference is None:
            return [artifact]
        requested = artifact.precision in self.request.precisions
        function: Callable[..., list[Artifact]] = pkgutil.resolve_name(reference)
        return function(artifact, self.folder, self.request.socs if requested else ())


def export_job(
    prepared: Prepared, request: ExportRequest, folder: Path
) -> tuple[ExportJob, tuple[RewriteRecord, ...]]:
    """Capture the model and apply the static rewrites, unless they are disabled; return the job and
    the rewrites' records."""
    size, channels = prepared.preprocessing.size, prepared.preprocessing.channels
    prepared, program, graph, records = _captured(prepared, request)
    described = described_outputs(graph)
    if getattr(prepared.model, "num_classes", None) == 0:
        described = _named_as_features(described)
    postprocessing = (
        {"kind": CLASS_MAP, "num_classes": number_of_classes(prepared.model)}
        if prepared.class_map
        else {}
    )
    task, outputs = task_of(
        prepared.task, described, size, prepared.labels, request.batch, postprocessing
    )
    image = TensorSpec(
        name=INPUT_NAME,
        shape=(request.batch, channels, *size),
        layout="NCHW",
        meaning="normalized",
    )
    signature = Signature(inputs=(image,), outputs=outputs)
    return ExportJob(graph, prepared, task, signature, request, folder, program), records


def _captured(
    prepared: Prepared, request: ExportRequest
) -> tuple[Prepared, ExportedProgram | None, GraphModule, tuple[RewriteRecord, ...]]:
    """Return what was prepared with notes; as torch.export captured it, unless branches were merged
    before; the captured graph, rewritten if that is wanted; the records of the rewrites.

    An output that is another one again is left out: LiteRT and coremltools merge the two.
    """
    size, channels = prepared.preprocessing.size, prepared.preprocessing.channels
    model, records = prepared.exported, tuple[RewriteRecord, ...]()
    if request.rewrites:
        model, notes = _reparameterized(model, size, channels, request.batch)
        prepared = replace(prepared, notes=(*prepared.notes, *notes))
    program, captured = capture_program(model, size, channels, request.batch)
    graph = captured
    if request.rewrites:
        graph, records = apply_all(STATIC_REWRITE, captured)
    repeated = repeated_outputs(graph)
    if not repeated:
        return prepared, program if model is prepared.exported else None, graph, records
    names = [name for name, *_ in described_outputs(captured)]
    chosen = [place for place in range(len(names)) if place not in repeated]
    notes = tuple(
        f"output '{names[place]}' is '{names[earlier]}' again, and left out"
        for place, earlier in repeated.items()
    )
    return _captured(
        replace(
            prepared,
            model=ChosenOutputs(prepared.exported, chosen),
            rebuilt=False,
            class_map=False,
            notes=(*prepared.notes, *notes),
        ),
        request,
    )


def _reparameterized(
    model: nn.Module, size: tuple[int, int], channels: int, batch: int
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a model with merged branches, if its outputs stay the same; else the model itself and
    a note: what its modules' methods do is theirs."""
    merged = reparameterize(model)
    if [type(each) for each in merged.modules()] == [type(each) for each in model.modules()]:
        return model, ()
    image = example_image(model, size, channels, batch)
    expected = run_once(model, image, type(model).__name__)
    try:
        found = run_once(merged, image, type(model).__name__)
    except UserError:
        effect = "fail"
    else:
        worst = _worst_snr_db(expected, found)
        if worst >= LEAST_MERGED_DB:
            return merged, ()
        effect = f"change its outputs ({worst:.0f} dB)"
    methods = ", ".join(METHODS)
    return model, (f"its modules' methods ({methods}) {effect}: it is exported without them",)


def _worst_snr_db(expected: list[tuple[str, Tensor]], found: list[tuple[str, Tensor]]) -> float:
    """Return the lowest SNR of any output, in dB; -300 where they are not the same ones."""
    if [(name, each.shape) for name, each in expected] != [(n, each.shape) for n, each in found]:
        return -300.0
    return min(
        snr_db(reference.double().numpy(), output.double().numpy())
        for (_, reference), (_, output) in zip(expected, found, strict=True)
    )


def _named_as_features(outputs: tuple[OutputDescription, ...]) -> tuple[OutputDescription, ...]:
    """Return the outputs of a model without classes: its only one is named as what it is."""
    if [output[0] for output in outputs] != [ONLY_OUTPUT]:
        return outputs
    return ((FEATURES, *outputs[0][1:]),)


def task_of(
    name: str | None,
    outputs: Sequence[OutputDescription],
    size: tuple[int, int],
    labels: Sequence[str] | None,
    batch: int = 1,
    postprocessing: Mapping[str, Any] | None = None,
) -> tuple[Task, tuple[TensorSpec, ...]]:
    """Return the task of a model for images of `size` (height, width), with parameters other than
    the default ones if they are given, and its signature's outputs.

    Without a `name` the task is classification if the outputs match it, else tensors.

    Raises:
        UserError: an output has no batch axis, the outputs do not match the task, or the number of
            labels differs from the number of classes.
    """
    for output, shape, _ in outputs:
        if not shape or shape[0] != batch:
            raise UserError(
                f"output '{output}' of shape {shape} has no batch axis of {batch}",
                remedy="return tensors whose first axis is the batch",
            )
    task = find_task(name or "classification").configure(size, postprocessing or {})
    if name is None and not task.recognizes(outputs):
        task = find_task("tensors")
    only = [output[0] for output in outputs] == [ONLY_OUTPUT]
    if only and task.meaning(ONLY_OUTPUT) == "logits":
        outputs = [("logits", *outputs[0][1:])]
    specs = specs_of(task, outputs)
    classes = task.classes({spec.name: spec.shape for spec in specs})
    if classes is not None and labels is not None and len(labels) != classes:
        raise UserError(
            f"{len(labels)} labels for {classes} classes",
            remedy="give one label per class, in the order of the classes",
        )
    return task, specs
